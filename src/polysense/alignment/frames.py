"""Frames of a clip at evenly spaced instants: of a video, a moving picture, a folder of frames, a still picture."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from polysense.alignment.media import MAX_MEGABYTES, UnusableError, read_file
from polysense.alignment.pictures import MAX_MEGAPIXELS, decode_picture, square
from polysense.pictures import colour
from polysense.pictures.opening import ENDINGS

FRAMES = 16
MAX_FRAMES = 10_000
"""Of one file: about five minutes of video."""
MAX_GIGAPIXELS = 20
"""Of all frames of a file together: as many frames in full HD."""
WHOLE_ABOVE = 0.9
"""Share of the frames or seconds that a video announces which must be there, else it is taken to be cut off."""

Content = bytes | tuple[tuple[bytes, int], ...]
"""A file; or, of a folder, the files of its chosen frames, each with the number of instants at which it is on show."""
Frame = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""What `pictures.decode_picture` gives: pixels (224, 224, 3) and colours (64,)."""

_MOVING = ("GIF", "PNG", "WEBP")  # the frames of a TIFF are pages
_STILL = ("JPEG", "BMP", "TIFF")
# FFmpeg's names. Others of its formats are lists of files and addresses that it would go on to open.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"
_ORDERED = "avi"  # knows the order of its frames, but not the time of each: what FFmpeg says of it is wrong for H.264
_UNTIMED = 100.0  # milliseconds of a frame that names no duration, as browsers have it
_Item = TypeVar("_Item")


def read_clip(path: Path) -> tuple[bytes, Content]:
    """Digest and content of a file, or of a folder whose numbered pictures are the frames of one clip.

    The frames of a folder stand in the order of their numbers ("2.png" before "10.png") and last equally long; only
    those that are chosen are read, and pictures without a number are no frames.

    Raises:
        UnusableError: missing, unreadable, empty, too large, or a folder without numbered pictures.
    """
    try:
        if not path.is_dir():
            return read_file(path)
        files = _numbered(path)
    except OSError as error:
        raise UnusableError(error.strerror or str(error)) from None
    chosen = list(_on_show(enumerate(files), 0, len(files)))
    contents, digest, size = [], hashlib.sha256(), 0
    for file, times in chosen:
        try:
            key, data = read_file(file)
        except UnusableError as reason:
            raise UnusableError(f"{file.name}: {reason}") from None
        if (size := size + len(data)) > MAX_MEGABYTES * 2**20:
            raise UnusableError(f"{len(chosen)} frames of more than {MAX_MEGABYTES} MiB")
        digest.update(key + times.to_bytes(4))
        contents.append((data, times))
    return digest.digest(), tuple(contents)


def clip_frames(content: Content) -> list[tuple[Frame, int]]:
    """The frames of a clip at `FRAMES` evenly spaced instants, the middles of as many equal stretches of its time.

    Moving GIF, PNG and WebP; videos in mp4, mov, avi, mkv and webm, turned upright; any other picture as a clip of one
    frame. How long each frame lasts is respected. Only a few frames at a time are in memory at their full size.

    Returns:
        in the order of time, each frame that is on show at an instant, and at how many; the numbers sum to `FRAMES`.

    Raises:
        UnusableError: neither picture nor video, broken, cut off, without frames, or above `MAX_MEGAPIXELS` a frame,
            `MAX_FRAMES` or `MAX_GIGAPIXELS`.
    """
    if isinstance(content, tuple):
        return [(decode_picture(data), times) for data, times in content]
    try:
        return _picture(content)
    except UnidentifiedImageError:
        return _video(content)


def _numbered(folder: Path) -> list[Path]:
    named = (file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    files = [file for file in named if re.search(r"\d", file.stem)]
    if not files:
        raise UnusableError("no numbered pictures in this folder")
    if len(files) > MAX_FRAMES:
        raise UnusableError(f"{len(files)} frames, more than {MAX_FRAMES}")
    return sorted(files, key=lambda file: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", file.name)])


def _on_show(timed: Iterable[tuple[float, _Item]], start: float, end: float) -> Iterator[tuple[_Item, int]]:
    """Of items with the time each begins at, rising, those on show at an instant or more, and at how many.

    An item is on show until the next one begins, the last one without end.
    """
    left = start + (np.arange(FRAMES) + 0.5) / FRAMES * (end - start)
    held: _Item | None = None
    for begin, item in timed:
        times = int(np.searchsorted(left, begin))
        if held is not None and times:
            yield held, times
            left = left[times:]
        held = item
    if held is not None and len(left):
        yield held, len(left)


def _check_size(width: int, height: int, count: int) -> None:
    if (megapixels := width * height / 1e6) > MAX_MEGAPIXELS:
        raise UnusableError(f"{megapixels:.0f} megapixels a frame, more than {MAX_MEGAPIXELS}")
    if count > MAX_FRAMES:
        raise UnusableError(f"{count} frames, more than {MAX_FRAMES}")
    _check_sum(width * height * count)


def _check_sum(pixels: int) -> None:
    if pixels > MAX_GIGAPIXELS * 1e9:
        raise UnusableError(f"more than {MAX_GIGAPIXELS} gigapixels in all frames")


def _frame(picture: Image.Image) -> Frame:
    return square(picture), colour.colour_histogram(colour.foreground_pixels(np.asarray(picture)))


def _picture(data: bytes) -> list[tuple[Frame, int]]:
    """A picture that moves or stands still; raises `UnidentifiedImageError` where the data is neither."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, and odd metadata does no harm
            with Image.open(io.BytesIO(data), formats=_MOVING + _STILL) as opened:
                if opened.format in _MOVING and (moving := _moving_picture(opened)):
                    return moving
    except (UnusableError, UnidentifiedImageError):
        raise
    except Image.DecompressionBombError:
        raise UnusableError(f"more than {MAX_MEGAPIXELS} megapixels a frame") from None
    # Decoders of broken files raise nearly anything: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        raise UnusableError(f"broken: {error}") from None
    return [(decode_picture(data), FRAMES)]


def _moving_picture(opened: Image.Image) -> list[tuple[Frame, int]]:
    """Nothing where there is but one frame."""
    count = getattr(opened, "n_frames", 1)
    # The picture that an APNG shows where nothing can move is no part of what moves.
    first = int(bool(getattr(opened, "default_image", False)))
    if count - first < 2:
        return []
    begins = [0.0]
    for i in range(first, count):
        opened.seek(i)
        _check_size(*opened.size, count)  # a frame may be larger than the file announces
        opened.load()  # WebP says how long a frame lasts once it is decoded
        begins.append(begins[-1] + (opened.info.get("duration") or _UNTIMED))

    def timed() -> Iterator[tuple[float, Image.Image]]:
        for i, begin in enumerate(begins[:-1], start=first):
            opened.seek(i)
            yield begin, ImageOps.exif_transpose(opened).convert("RGBA")

    return [(_frame(picture), times) for picture, times in _on_show(timed(), 0.0, begins[-1])]


def _video(data: bytes) -> list[tuple[Frame, int]]:
    try:
        container = _open(data)
    except av.error.FFmpegError:
        raise UnusableError("neither a picture nor a video that can be read") from None
    try:
        with container:
            start, end = _stretch(container)
        with _open(data) as container:  # anew: not every file can be wound back
            stream = _video_stream(container)
            stream.codec_context.options = _limits()
            frames = [
                (_frame(_upright(frame)), times) for frame, times in _on_show(_timed(container, stream), start, end)
            ]
    except av.error.FFmpegError as error:
        raise UnusableError(f"broken: {error.strerror}") from None
    if not frames:
        raise UnusableError("no frames in it")
    return frames


def _open(data: bytes) -> InputContainer:
    # FFmpeg decodes a frame to find out what a stream is. Old files have titles in any encoding.
    options = {"format_whitelist": _CONTAINERS, **_limits()}
    return av.open(io.BytesIO(data), mode="r", metadata_errors="replace", options=options)


def _limits() -> dict[str, str]:
    """What decoders are told: a frame may be larger than the file announces."""
    return {"max_pixels": str(int(MAX_MEGAPIXELS * 1e6))}


def _video_stream(container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:  # None: a codec that FFmpeg does not know
        raise UnusableError("no video in it that can be decoded")
    return stream


def _timed(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames in the order in which they are shown, each with the time it begins at.

    Raises:
        UnusableError: what was decoded so far is above `MAX_GIGAPIXELS`.
    """
    context, pixels, place = stream.codec_context, 0, 0
    for packet in container.demux(stream):
        decoded = packet.decode()
        # Frames may be larger than the file announces, and one that is never shown has been decoded, too. The last
        # packet is empty.
        announced = context.width * context.height if packet.size else 0
        pixels += max(announced, sum(frame.width * frame.height for frame in decoded))
        _check_sum(pixels)
        for frame in decoded:
            if container.format.name == _ORDERED:
                yield place, frame
                place += 1
            elif frame.pts is not None:
                yield frame.pts, frame


def _stretch(container: InputContainer) -> tuple[float, float]:
    """Where the frames begin and end, in the times of `_timed`; without decoding any."""
    stream = _video_stream(container)
    size = stream.codec_context.width, stream.codec_context.height
    begins, ends, last = [], [], 0.0
    for packet in container.demux():
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is None:  # the empty packet that closes a stream
            continue
        end = begin + (packet.duration or 0)
        last = max(last, float(end * packet.time_base))
        if packet.stream is stream:
            begins.append(begin)
            ends.append(end)
            _check_size(*size, len(begins))
    if not begins:
        raise UnusableError("no frames in it")
    if len(begins) < WHOLE_ABOVE * stream.frames:
        raise UnusableError(f"cut off: {len(begins)} of {stream.frames} frames are there")
    announced = (container.duration or 0) / av.time_base
    if last < WHOLE_ABOVE * announced:
        raise UnusableError(f"cut off: {last:.1f} of {announced:.1f} seconds are there")
    if not all(size):  # FFmpeg would not decode a frame to tell
        raise UnusableError(f"its first frame cannot be decoded, or has more than {MAX_MEGAPIXELS} megapixels")
    return (0, len(begins)) if container.format.name == _ORDERED else (min(begins), max(ends))


def _upright(frame: av.VideoFrame) -> Image.Image:
    turned = np.rot90(frame.to_ndarray(format="rgba"), k=round(frame.rotation / 90))
    return Image.fromarray(np.ascontiguousarray(turned))
