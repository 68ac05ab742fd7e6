"""Pictures whose files a command prints: what it is given, what it may do, and that nobody runs it unasked."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.models.processing import PROCESSOR_FILE, PolysenseProcessor
from polysense.prototypes.reading import Reading
from polysense.retrieval.command import CONSENT
from polysense.retrieval.encoders import ClipPictures
from polysense.retrieval.opening import open_source
from polysense.retrieval.source import PictureSource


class Search:
    """A command of Python that notes what it was given in `notes`, one JSON list a run."""

    def __init__(self, folder: Path, pictures: Path, encoder: Path) -> None:
        self.script, self.notes = folder / "search.py", folder / "notes"
        self.pictures, self.encoder = pictures, encoder
        self.prints(sorted(map(str, pictures.glob("*.png"))))

    def prints(self, lines: list[str], then: str = "") -> None:
        self.script.write_text(
            "import json, os, subprocess, sys, time\n"
            f"open({str(self.notes)!r}, 'a').write(json.dumps([sys.argv[1:], sys.stdin.read()]) + '\\n')\n"
            f"print({chr(10).join(lines)!r}, flush=True)\n{then}\n"
        )

    @property
    def given(self) -> list[list[object]]:
        return [json.loads(line) for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def command(self, arguments: str = "") -> str:
        return f"{shlex.quote(sys.executable)} -S {shlex.quote(str(self.script))}{arguments}"

    def spec(self, arguments: str = "", options: str = "") -> str:
        return f"search:{self.command(arguments)},encoder={self.encoder}{options}"

    def source(self, arguments: str = "", options: str = "", k: int = 2) -> PictureSource:
        source = open_source(self.spec(arguments, options), Reading(k=k, precision="exact"))
        assert isinstance(source, PictureSource)
        return source


@pytest.fixture
def search(tmp_path: Path, pictures: Path, clip_pictures: Path) -> Search:
    return Search(tmp_path, pictures, clip_pictures)


def test_the_first_pictures_that_it_prints(search: Search) -> None:
    source = search.source()
    features, _ = ClipPictures(str(search.encoder)).features(sorted(search.pictures.glob("*.png")))
    batch = source.batch(["the cat", "", "a dog"])
    assert batch.counts.tolist() == [2, 0, 2]
    np.testing.assert_array_equal(batch.features[0], features[:2])
    assert search.given == [[[], "a dog\n"], [[], "the cat\n"]] or search.given == [[[], "the cat\n"], [[], "a dog\n"]]
    assert source.extract(["the cat"])[0].tokens == ("picture 1", "picture 2")
    assert len(search.given) == 2  # remembered


def test_a_text_is_one_argument_and_never_code_or_an_option(search: Search, tmp_path: Path) -> None:
    texts = [f"x; touch {tmp_path}/harm $(touch {tmp_path}/harm) 'a", "--output=harm", ("-a", "b\0c"), "x" * 100_000]
    source = search.source(" --query {} -n")
    for text in texts:
        source.block([text])
    assert [argv[1] for argv, _ in search.given] == [texts[0], " --output=harm", " -a b\ufffdc", "x" * 8192]
    assert all(argv[::2] == ["--query", "-n"] and stdin == "" for argv, stdin in search.given)
    assert not (tmp_path / "harm").exists()


def test_what_is_no_file_is_left_out(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    picture = str(search.pictures / "blue_sky.png")
    search.prints(["", "/nowhere/at all.png", "/dev/zero", "  ", picture, "\0"])
    block = search.source(k=5).block(["the sky"])
    assert block.mask.sum() == 1
    assert "3 of the 4 paths that it printed are no files and are left out, e.g. '/nowhere/at all.png'" in caplog.text
    search.prints([])
    assert not search.source().block(["the sky"]).mask.any()


def test_pictures_that_cannot_be_read_are_as_none_and_said_once(
    search: Search, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    search.prints([str(broken)])
    texts = [f"the cat {i}" for i in range(3)]
    source = search.source()
    source.handle.finder.together = 1  # type: ignore[attr-defined]  # a chunk a text
    source.prepare(texts)
    assert not source.block(texts).mask.any() and not source.block(texts).features.any()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"search command {search.command()!r}: 3 of the 3 paths that it printed are no pictures that can be read and "
        f"are left out, e.g. {str(broken)!r}"
    )
    caplog.clear()
    search.prints([str(broken), str(search.pictures / "blue_sky.png")])
    assert search.source().block(["the sky"]).mask.sum() == 1
    assert [record.getMessage().count("1 of the 2 paths") for record in caplog.records] == [1]


def test_it_is_ended_in_time_with_all_that_it_started(search: Search, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    child = f"import time; time.sleep(3); open({str(alive)!r}, 'w')"
    search.prints([], f"subprocess.Popen([sys.executable, '-S', '-c', {child!r}]); time.sleep(60)")
    with pytest.raises(PolysenseError, match=r"not done after 1 seconds; give it more \(,seconds=...\)"):
        search.source("", ",seconds=1").block(["the cat"])
    time.sleep(3)
    assert not alive.exists()


def test_failures_are_said_in_one_line(search: Search) -> None:
    search.prints(["x"], "sys.stderr.write('first\\nquota is used up\\n\\n'); sys.exit(3)")
    with pytest.raises(PolysenseError, match="failed with status 3 for 'the cat': quota is used up; mend it") as caught:
        search.source().block(["the cat"])
    assert "\n" not in str(caught.value)
    with pytest.raises(PolysenseError, match=r"'no-such-command-here': cannot be run \(No such file"):
        open_source(f"search:no-such-command-here,encoder={search.encoder}").block(["the cat"])
    with pytest.raises(PolysenseError, match="mend its quotes"):
        open_source(f"search:find 'x,encoder={search.encoder}")


def test_a_saved_models_command_is_not_run_unasked(
    search: Search, bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor when it is opened, nor for a new text; what is stored is looked up."""
    store, model = tmp_path / "store", tmp_path / "model"
    processor = PolysenseProcessor.from_backbone(str(bert_folder), {"image": search.spec()}, store=store)
    processor.prepare(["the cat"], progress=False)
    processor.save_pretrained(model)
    assert json.loads((model / PROCESSOR_FILE).read_text())["towers"]["image"]["spec"] == search.spec()
    assert len(search.given) == 1
    for value in (None, "1", search.command() + " -v"):
        monkeypatch.delenv(CONSENT, raising=False)
        if value is not None:
            monkeypatch.setenv(CONSENT, value)
        opened = PolysenseProcessor.from_pretrained(model, store)
        assert opened(["the cat"])["prototype_masks"]["image"].sum() == 4
        with pytest.raises(PolysenseError, match=f"is not run unasked: if you trust it, set {CONSENT} to exactly"):
            opened(["a dog"])
    assert len(search.given) == 1
    monkeypatch.setenv(CONSENT, search.command())
    assert PolysenseProcessor.from_pretrained(model, store)(["a dog"])["prototype_masks"]["image"].sum() == 4
    assert len(search.given) == 2
