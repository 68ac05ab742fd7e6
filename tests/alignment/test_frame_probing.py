"""What FFmpeg decodes of a clip before its frames are asked for."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction

import av
import pytest

from polysense.alignment import frames
from polysense.alignment.frames import clip_frames
from polysense.alignment.media import UnusableError


def test_frames_are_not_decoded_to_find_out_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header says 16 x 16; the first frame has 12 megapixels of 8 bytes."""
    packing = zlib.compressobj(1)
    rows = b"".join(packing.compress(bytes(1 + 4000 * 8)) for _ in range(3000)) + packing.flush()
    picture = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 4000, 3000, 16, 6, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        picture += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        packet = av.Packet(picture)
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        packet.time_base = Fraction(1, 1)
        container.mux(packet)

    def width() -> int:
        with frames._open(buffer.getvalue()) as container:
            return container.streams.video[0].codec_context.width

    assert width() == 4000, "FFmpeg decodes a frame of those that are not too large"
    monkeypatch.setattr(frames, "MAX_MEGAPIXELS", 1)
    assert width() == 0
    with pytest.raises(UnusableError, match=r"^its first frame cannot be decoded, or has more than 1 megapixels$"):
        clip_frames(buffer.getvalue())
