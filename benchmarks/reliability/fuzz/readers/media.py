"""Pictures, sounds, clips, sound banks, and what is known of them by captions."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import soundfile
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.reliability.fuzz.reader import Reader
from benchmarks.reliability.fuzz.readers.rows import as_lines
from polysense.alignment.frames import clip_frames, read_clip
from polysense.alignment.manifest import load_pairs
from polysense.alignment.media import Medium, media_features, read_file
from polysense.alignment.pictures import decode_picture
from polysense.alignment.soundfont import preset_names
from polysense.alignment.sounds import decode_sound
from polysense.alignment.space import FeatureSpace
from polysense.pictures.opening import ENDINGS, open_picture

_PICTURES = ("png", "jpeg", "webp", "gif", "bmp", "tiff")
_SOUNDS = ("wav", "flac", "ogg", "mp3", "aiff")
_VIDEOS = {"mp4": "mpeg4", "mkv": "mpeg4", "avi": "mpeg4", "webm": "libvpx"}


def _picture(number: int = 0) -> Image.Image:
    draw = np.random.default_rng(number)
    pixels = np.zeros((24, 32, 3), np.uint8) + draw.integers(0, 255, 3, np.uint8)
    pixels[6:18, 8:24] = draw.integers(0, 255, (12, 16, 3), np.uint8)
    return Image.fromarray(pixels)


def _still(ending: str) -> Reader:
    return Reader(
        f"picture, {ending}",
        lambda folder: _picture().save(folder / f"picture.{ending}"),
        lambda folder: np.asarray(open_picture(folder / f"picture.{ending}")),
    )


def _medium(name: str, files: Sequence[str], read: Any, decode: Any) -> Callable[[Path], Any]:
    """Decoded as towers are aligned, all of it kept in the place of an encoder's features."""

    def run(folder: Path) -> Any:
        kept: list[Any] = []

        def encode(items: list[Any]) -> dict[str, Any]:
            kept.extend(items)
            return {"kept": np.zeros((len(items), 1), np.float32)}

        medium = Medium(name, ("kept",), 1, "whole", 8, decode, encode, read)
        with TemporaryDirectory() as cache:  # of each reading its own, or the second one would decode nothing
            media_features(medium, [folder / file for file in files], progress=False, cache=Path(cache))
        return kept

    return run


def _sound(ending: str) -> Reader:
    def write(folder: Path) -> None:
        times = np.arange(4410) / 8820
        soundfile.write(folder / f"sound.{ending}", 0.5 * np.sin(2 * np.pi * 440 * times), 8000)

    return Reader(f"sound, {ending}", write, _medium("sound", [f"sound.{ending}"], read_file, decode_sound))


def _video(ending: str) -> Reader:
    def write(folder: Path) -> None:
        with av.open(str(folder / f"clip.{ending}"), "w") as container:
            stream: Any = container.add_stream(_VIDEOS[ending], rate=8)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for number in range(8):
                container.mux(stream.encode(av.VideoFrame.from_image(_picture(number))))
            container.mux(stream.encode())

    return Reader(f"clip, {ending}", write, _medium("clip", [f"clip.{ending}"], read_clip, clip_frames))


def _moving(ending: str) -> Reader:
    def write(folder: Path) -> None:
        first, *rest = [_picture(number) for number in range(4)]
        first.save(folder / f"clip.{ending}", save_all=True, append_images=rest, duration=100)

    return Reader(f"clip, {ending}", write, _medium("clip", [f"clip.{ending}"], read_clip, clip_frames))


def _write_frames(folder: Path) -> None:
    (folder / "clip").mkdir()
    for number in range(6):
        _picture(number).save(folder / "clip" / f"{number}.png")


def _write_bank(folder: Path) -> None:
    rows = [("Violin", 40, 0), ("Dog", 123, 1), ("Fantasia", 88, 0), ("Standard", 0, 128), ("EOP", 0, 0)]
    headers = b"".join(struct.pack("<20sHHHIII", name.encode(), p, b, 0, 0, 0, 0) for name, p, b in rows)
    chunk = b"phdr" + struct.pack("<I", len(headers)) + headers + b"pbag\0\0\0\0"
    (folder / "bank.sf2").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"sfbk" + chunk)


def _write_captions(folder: Path) -> None:
    for number in range(4):
        _picture(number).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a red cat {number}\nкот {number}\n")


def _write_table(folder: Path) -> None:
    for number in range(4):
        _picture(number).save(folder / f"{number}.png")
    rows = [{"caption": f"a red cat {number}", "file": f"{number}.png"} for number in (0, 1, 2, 3, 0)]
    (folder / "table.jsonl").write_text(as_lines(rows))


def _read_pairs(table: str | None) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        pairs = load_pairs(folder / table if table else folder, ENDINGS)
        decoded = _medium("picture", [str(pair.file) for pair in pairs], read_file, decode_picture)(folder)
        told = [[pair.captions, str(pair.file.relative_to(folder)), pair.concept] for pair in pairs]
        return [told, decoded]

    return read


def _write_space(folder: Path) -> None:
    torch.manual_seed(0)
    space = FeatureSpace.fit({"seen": torch.randn(12, 6), "colours": torch.randn(12, 4)}, 3)
    save_file(space.state_dict(), folder / "feature_space.safetensors")


def _read_space(folder: Path) -> Any:
    return FeatureSpace.load(folder / "feature_space.safetensors", ("seen", "colours")).state_dict()


MEDIA = (
    *(_still(ending) for ending in _PICTURES),
    *(_sound(ending) for ending in _SOUNDS),
    *(_video(ending) for ending in _VIDEOS),
    *(_moving(ending) for ending in ("gif", "webp", "png")),
    Reader("clip, folder of frames", _write_frames, _medium("clip", ["clip"], read_clip, clip_frames)),
    Reader("sound bank", _write_bank, lambda folder: preset_names(folder / "bank.sf2")),
    Reader("folder of pictures and captions", _write_captions, _read_pairs(None)),
    Reader("table of pictures and captions", _write_table, _read_pairs("table.jsonl")),
    Reader("feature space", _write_space, _read_space),
)
