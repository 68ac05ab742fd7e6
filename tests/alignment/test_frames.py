"""Frames of clips: which frames are chosen, how files and folders are read, and what is refused."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from polysense.alignment import frames
from polysense.alignment.frames import FRAMES, clip_frames, read_clip
from polysense.alignment.media import UnusableError
from polysense.alignment.pictures import decode_picture

SHADES = [(30 * i, 255 - 30 * i, 0) for i in range(8)]


def plain(shade: tuple[int, ...], size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, shade)


def moving(form: str, pictures: list[Image.Image], duration: int | list[int] = 100, **options: object) -> bytes:
    buffer = io.BytesIO()
    lossless = {"lossless": True} if form == "WEBP" else {}
    pictures[0].save(buffer, form, save_all=True, append_images=pictures[1:], duration=duration, **lossless, **options)
    return buffer.getvalue()


def film(
    file: Path, times: list[int], codec: str = "mpeg4", size: tuple[int, int] = (64, 48), rate: int = 10,
    options: dict[str, str] | None = None, **stream_options: str,
) -> bytes:  # fmt: skip
    """A video whose frame at `times[i]` (in 1/rate s) has the grey 8 i + 40."""
    with av.open(str(file), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=stream_options)
        stream.width, stream.height = size
        stream.bit_rate = 8_000_000
        stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
        container.start_encoding()
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 8 * i + 40, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.read_bytes()


def seen(content: frames.Content) -> list[tuple[tuple[int, ...], int]]:
    """The colour in the middle of each frame, and at how many instants it is on show."""
    return [(tuple(pixels[112, 112].tolist()), times) for (pixels, _), times in clip_frames(content)]


def greys(data: bytes) -> list[tuple[int, int]]:
    """Of a `film`, which of its frames are on show, and at how many instants."""
    return [(round((colour[0] - 40) / 8), times) for colour, times in seen(data)]


def slow_choice(durations: list[float]) -> list[tuple[int, int]]:
    """Instant by instant: the frame during which it falls."""
    chosen = []
    for k in range(FRAMES):
        instant, at = (k + 0.5) / FRAMES * sum(durations), 0
        while at + 1 < len(durations) and sum(durations[: at + 1]) <= instant:
            at += 1
        chosen.append(at)
    return [(i, chosen.count(i)) for i in sorted(set(chosen))]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_moving_pictures_in_order_with_durations_respected(form: str) -> None:
    data = moving(form, [plain(shade) for shade in SHADES], [100, 40, 200, 60, 100, 900, 30, 170], loop=0)
    found = seen(data)
    assert [times for _, times in found] == [1, 2, 1, 1, 9, 2]  # frames 1 and 6 are too short to be on show
    for (colour, _), i in zip(found, [0, 2, 3, 4, 5, 7], strict=True):
        assert np.abs(np.subtract(colour, SHADES[i])).max() <= 1


def random_durations(seed: int) -> list[float]:
    generator = np.random.default_rng(seed)
    return generator.integers(1, 50, int(generator.integers(1, 60))).astype(float).tolist()


@pytest.mark.parametrize("durations", [[5.0], [0.5, 15.5], [3.5, 4.0, 8.5], *map(random_durations, range(5))])
def test_the_choice_against_a_loop(durations: list[float]) -> None:
    begins = np.cumsum([0.0, *durations])
    chosen = list(frames._on_show(zip(begins, range(len(durations)), strict=False), 0.0, begins[-1]))
    assert chosen == slow_choice(durations)
    assert sum(times for _, times in chosen) == FRAMES


def test_a_moving_picture_without_durations_is_evenly_timed() -> None:
    found = seen(moving("GIF", [plain(shade) for shade in SHADES[:4]], 0))
    assert [times for _, times in found] == [4, 4, 4, 4]


def test_what_an_apng_shows_where_nothing_moves_is_no_frame() -> None:
    pictures = [plain((0, 0, 255)), *(plain(shade) for shade in SHADES[:4])]
    assert [colour for colour, _ in seen(moving("PNG", pictures, default_image=True))] == SHADES[:4]


def test_transparency_is_white_to_the_encoder_and_nothing_to_the_colour() -> None:
    half = Image.new("RGBA", (16, 16), (0, 0, 255, 0))
    half.paste((255, 0, 0, 255), (0, 0, 8, 16))
    other = Image.new("RGBA", (16, 16), (0, 255, 0, 255))
    (pixels, colours), _ = clip_frames(moving("WEBP", [half, other]))[0]
    buffer = io.BytesIO()
    half.save(buffer, "PNG")
    expected_pixels, expected_colours = decode_picture(buffer.getvalue())
    np.testing.assert_array_equal(pixels, expected_pixels)
    np.testing.assert_allclose(colours, expected_colours, atol=1e-6)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "JPEG", "BMP", "TIFF"])
def test_a_still_picture_is_a_clip_of_one_frame(form: str) -> None:
    buffer = io.BytesIO()
    plain((200, 100, 50)).save(buffer, form)
    ((pixels, colours), times), *rest = clip_frames(buffer.getvalue())
    expected_pixels, expected_colours = decode_picture(buffer.getvalue())
    assert (times, rest) == (FRAMES, [])
    np.testing.assert_array_equal(pixels, expected_pixels)
    np.testing.assert_array_equal(colours, expected_colours)


def test_pages_are_no_frames() -> None:
    assert len(clip_frames(moving("TIFF", [plain(shade) for shade in SHADES]))) == 1


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mpeg4"), ("a.mp4", "libx264"), ("a.mov", "mjpeg"), ("a.avi", "mpeg4"), ("a.avi", "libx264"),
        ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.webm", "libvpx"), ("a.mkv", "ffv1"),
    ],
)  # fmt: skip
def test_videos(tmp_path: Path, name: str, codec: str) -> None:
    assert greys(film(tmp_path / name, list(range(24)), codec)) == slow_choice([1.0] * 24)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_videos_of_uneven_times(tmp_path: Path, name: str) -> None:
    data = film(tmp_path / name, [0, 1, 2, 30, 31, 50, 59], "libx264")
    assert greys(data) == slow_choice([1, 1, 28, 1, 19, 9, 1])


def test_frames_that_are_stored_out_of_order_are_seen_in_order(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.avi", "a.mkv"):
        data = film(tmp_path / name, list(range(24)), "libx264", bf="3", g="24")
        assert [i for i, _ in greys(data)] == [i for i, _ in slow_choice([1.0] * 24)], name


def test_a_video_that_begins_late(tmp_path: Path) -> None:
    assert greys(film(tmp_path / "a.mkv", list(range(100, 108)), "libx264"))[0] == (0, 2)


def test_fragmented_video(tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4", list(range(16)), options={"movflags": "frag_keyframe+empty_moov"})
    assert greys(data) == [(i, 1) for i in range(16)]


def test_videos_stand_upright(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        picture = np.full((32, 64, 3), 255, np.uint8)
        picture[:, :32] = 0  # black on the left, to be turned by 90 degrees: on top
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = file.read_bytes()
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 32 << 16, 0, 1 << 30)
    header = data.index(b"tkhd")
    turned = data[:header] + data[header:].replace(upright, clockwise, 1)
    pixels = clip_frames(turned)[0][0][0]
    assert pixels[50, 112].max() < 30
    assert pixels[170, 112].min() > 225
    assert pixels[50, 20].tolist() == [255, 255, 255]  # now higher than wide, so padded at the sides


def numbered(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for i, name in enumerate(names):
        plain((10 * i, 0, 0)).save(folder / name)
    return folder


def test_a_folder_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "clip", [f"frame{i}.png" for i in range(12)])
    (folder / "captions.txt").write_text("no frame")
    plain((255, 255, 255)).save(folder / "cover.png")
    _, content = read_clip(folder)
    assert seen(content) == [((10 * i, 0, 0), times) for i, times in slow_choice([1.0] * 12)]


def test_only_the_chosen_frames_of_a_folder_are_read(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "clip", [f"{i:03}.png" for i in range(20)])
    _, content = read_clip(folder)
    chosen = {i for i, _ in slow_choice([1.0] * 20)}
    key, _ = read_clip(folder)
    for i in set(range(20)) - chosen:
        (folder / f"{i:03}.png").write_bytes(b"")
    assert read_clip(folder) == (key, content)
    plain((0, 0, 99)).save(folder / "000.png")
    assert read_clip(folder)[0] != key


def test_the_same_frames_in_another_order_are_another_clip(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "clip", ["0.png", "1.png"])
    key, _ = read_clip(folder)
    (folder / "0.png").rename(folder / "2.png")
    assert read_clip(folder)[0] != key


def test_folders_that_are_no_clip(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnusableError, match="no numbered pictures"):
        read_clip(empty)
    broken = numbered(tmp_path / "broken", ["0.png", "1.png"])
    (broken / "1.png").write_bytes(b"")
    with pytest.raises(UnusableError, match=r"1\.png: empty file"):
        read_clip(broken)
    (broken / "1.png").write_text("no picture")
    with pytest.raises(UnusableError, match=r"not a picture"):
        clip_frames(read_clip(broken)[1])


def test_a_folder_of_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = numbered(tmp_path / "clip", ["0.png", "1.png"])
    (folder / "1.png").write_bytes(bytes(2**20))
    monkeypatch.setattr(frames, "MAX_MEGABYTES", 1)
    with pytest.raises(UnusableError, match="2 frames of more than 1 MiB"):
        read_clip(folder)
    monkeypatch.setattr(frames, "MAX_FRAMES", 1)
    with pytest.raises(UnusableError, match="2 frames, more than 1"):
        read_clip(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"no video at all, " * 100,
        b"#EXTM3U\n#EXTINF:1,\nother.avi\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.avi\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    ],
    ids=["text", "list of addresses", "list of files", "program"],
)
def test_what_is_neither_picture_nor_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "other.avi", [0, 1])
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(UnusableError, match=r"^neither a picture nor a video"):
        clip_frames(read_clip(tmp_path / "a.mp4")[1])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.85])
@pytest.mark.parametrize(
    "name", ["a.gif", "a.webp", "a.png", "a.mp4", "fast.mp4", "a.avi", "x264.avi", "a.mkv", "a.webm"]
)
def test_what_is_cut_off(tmp_path: Path, name: str, share: float) -> None:
    file = tmp_path / name
    if file.suffix in (".gif", ".webp", ".png"):
        noise = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
        data = moving({".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}[file.suffix], [*map(Image.fromarray, noise)])
    else:
        codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
        data = film(file, list(range(24)), codec, options={"movflags": "faststart"} if "fast" in name else None)
    clip_frames(data)
    with pytest.raises(UnusableError, match=r"broken|cut off|neither|no video|no frames"):
        clip_frames(data[: int(len(data) * share)])


def test_says_how_much_of_a_video_is_there(tmp_path: Path) -> None:
    data = film(tmp_path / "a.avi", list(range(24)))
    with pytest.raises(UnusableError, match=r"cut off: 1\d of 24 frames are there"):
        clip_frames(data[: int(len(data) * 0.85)])
    data = film(tmp_path / "a.mkv", list(range(24)), "libx264")
    with pytest.raises(UnusableError, match=r"cut off: \d\.\d of 2\.4 seconds are there"):
        clip_frames(data[: int(len(data) * 0.85)])


def test_damaged_inside(tmp_path: Path) -> None:
    data = bytearray(film(tmp_path / "a.mkv", list(range(24)), "ffv1"))
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    with pytest.raises(UnusableError, match=r"broken|cut off"):
        clip_frames(bytes(data))


def test_a_video_without_frames(tmp_path: Path) -> None:
    data = film(tmp_path / "a.avi", [])
    with pytest.raises(UnusableError, match="no frames in it"):
        clip_frames(data)


def test_a_video_that_cannot_be_decoded(tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4", [0, 1], "libx264")
    with pytest.raises(UnusableError, match="no video in it that can be decoded"):
        clip_frames(data.replace(b"avc1", b"none"))


def test_sound_without_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UnusableError, match="no video in it"):
        clip_frames((tmp_path / "a.mp4").read_bytes())


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(frames, "_upright", decoded)
    monkeypatch.setattr(frames, "_frame", decoded)
    pictures = moving("GIF", [plain(shade, (40, 50)) for shade in SHADES])
    video = film(tmp_path / "a.avi", list(range(8)), "png", (40, 50))
    for limit, value, reason in (
        ("MAX_MEGAPIXELS", 0.001, r"more than 0\.001"),
        ("MAX_FRAMES", 7, "8 frames, more than 7"),
        ("MAX_GIGAPIXELS", 1.5e-5, "gigapixels in all frames"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(frames, limit, value)
            for data in (pictures, video):
                with pytest.raises(UnusableError, match=reason):
                    clip_frames(data)


def test_frames_that_are_larger_than_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = film(tmp_path / "a.avi", list(range(4)), "png", (400, 500))
    monkeypatch.setattr(frames, "MAX_MEGAPIXELS", 0.1)
    monkeypatch.setattr(frames, "_stretch", lambda _: (0.0, 4.0))
    with pytest.raises(UnusableError, match=r"^broken"):
        clip_frames(data)


@pytest.mark.parametrize("hidden", [0, 6], ids=["shown", "decoded and never shown"])
def test_frames_that_are_together_more_than_announced(monkeypatch: pytest.MonkeyPatch, hidden: int) -> None:
    """The header says 16 x 16. Frames before the time at which a film is said to begin are decoded and not given."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        for i in range(9):
            picture = io.BytesIO()
            plain((0, 0, 0), (16, 16) if i in (0, 7, 8) else (200, 100)).save(picture, "PNG")
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.pts, packet.dts, packet.duration = stream, i - hidden, i - hidden, 1
            packet.time_base, packet.is_keyframe = Fraction(1, 10), i == 0
            container.mux(packet)
    assert len(clip_frames(buffer.getvalue())) == (3 if hidden else 9)
    monkeypatch.setattr(frames, "MAX_GIGAPIXELS", 1e-4)
    with pytest.raises(UnusableError, match=r"^more than 0\.0001 gigapixels in all frames$"):
        clip_frames(buffer.getvalue())


def test_a_moving_picture_whose_frames_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header of a GIF says nothing of how far its frames reach."""
    data = bytearray(moving("GIF", [plain(SHADES[0]), plain(SHADES[1])]))
    monkeypatch.setattr(frames, "MAX_MEGAPIXELS", 1)
    place = data.rindex(b"\x2c\0\0\0\0")  # the second frame: left, top, width, height
    data[place + 5 : place + 9] = struct.pack("<HH", 2000, 3000)
    with pytest.raises(UnusableError, match="6 megapixels a frame, more than 1"):
        clip_frames(bytes(data))
