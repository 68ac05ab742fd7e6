"""Which files are pictures, how they look, and what is said of the others."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polysense.errors import PolysenseError
from polysense.pictures import opening
from polysense.pictures.opening import MAX_MEGAPIXELS, open_picture, stretched


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header announces a size and whose data are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", opening.FORMATS)
def test_each_format_from_a_file_and_from_bytes(form: str, tmp_path: Path) -> None:
    data = encoded(Image.new("RGB", (16, 9), (255, 0, 0)), form)
    (tmp_path / "picture").write_bytes(data)
    for source in (data, tmp_path / "picture"):
        picture = open_picture(source)
        assert (picture.mode, picture.size) == ("RGB", (16, 9))
        np.testing.assert_allclose(np.asarray(picture)[4, 8], (255, 0, 0), atol=4)


def test_a_pixel_is_a_picture() -> None:
    picture = open_picture(encoded(Image.new("RGB", (1, 1), (1, 2, 3))))
    assert picture.size == (1, 1)
    assert picture.getpixel((0, 0)) == (1, 2, 3)


def test_transparency_is_white_and_photos_stand_upright() -> None:
    half = Image.new("RGBA", (2, 1), (0, 0, 255, 0))
    half.putpixel((0, 0), (0, 0, 255, 255))
    assert [open_picture(encoded(half)).getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 255), (255, 255, 255)]
    lying = Image.new("RGB", (64, 32), "white")
    lying.paste((0, 0, 0), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = open_picture(encoded(lying, exif=exif.tobytes()))
    assert upright.size == (32, 64)
    assert upright.getpixel((16, 10)) == (0, 0, 0)


def test_the_first_frame_and_sixteen_bits() -> None:
    frames = [Image.new("RGB", (16, 16), shade) for shade in ("red", "blue")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_picture(moving).getpixel((8, 8)) == (255, 0, 0)
    deep = Image.fromarray(np.full((4, 4), 0x8040, np.uint16))
    assert open_picture(encoded(deep)).getpixel((1, 1)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (huge_png(10_000, 10_000), "100 megapixels, more than 50; scale it down"),
        (huge_png(100_000, 100_000), "more than 50 megapixels; scale it down"),
        (huge_png(100, 100), "broken: "),
        (b"", "empty file; "),
        (b"not a picture", "not a picture; give a PNG, JPEG, WebP, GIF, BMP or TIFF file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture; "),
        (encoded(Image.effect_noise((64, 64), 50))[:900], "broken: "),
    ],
    ids=["100 megapixels", "a bomb", "no pixels", "empty", "text", "PostScript", "cut off"],
)
def test_what_is_no_picture(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    for source, name in ((file, str(file)), (data, "row 3")):
        with pytest.raises(PolysenseError) as error:
            open_picture(source, name="row 3")
        assert str(error.value).startswith(f"{name}: {message}")
        assert "\n" not in str(error.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(PolysenseError, match=r"gone\.png: No such file or directory; check the path$"):
        open_picture(tmp_path / "gone.png")
    with pytest.raises(PolysenseError, match=r"Is a directory; check the path$"):
        open_picture(tmp_path)


def test_the_limit_can_be_changed() -> None:
    data = encoded(Image.new("RGB", (1000, 1000)))
    assert open_picture(data, max_megapixels=1).size == (1000, 1000)
    with pytest.raises(PolysenseError, match=r"the picture: 1 megapixels, more than 0.5; scale it down"):
        open_picture(data, max_megapixels=0.5)


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [
        ((640, 480), 8, (640, 480)),
        ((3, 1), 8, (8, 8)),
        ((900, 1), 8, (900, 112)),
        ((1, 900), 4, (225, 900)),
        ((7000, 7000), 4, (7000, 7000)),
    ],
)
def test_thin_and_tiny_pictures_are_stretched(size: tuple[int, int], share: int, expected: tuple[int, int]) -> None:
    assert stretched(Image.new("L", size), share).size == expected


@pytest.mark.parametrize("share", [4, 8])
def test_a_very_thin_picture_does_not_become_a_huge_one(share: int) -> None:
    """As a picture it is small enough; with sides of 1 to 4 it would have 250 gigapixels."""
    width, height = stretched(Image.new("1", (1_000_000, 2)), share).size
    assert 40e6 < width * height <= MAX_MEGAPIXELS * 1e6 and width // height in (share - 1, share)
