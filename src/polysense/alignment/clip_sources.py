"""Moving pictures with captions in package registries: Fluent Emoji, of which about half move."""

from __future__ import annotations

from polysense.alignment.picture_sources import emoji
from polysense.alignment.registries import Source

_ARCHIVES = (
    "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
    "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
    "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
    "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
)
CLIP_SOURCES = tuple(
    Source(
        f"fluent-moving-{number}", "npm", f"@lobehub/fluent-emoji-anim-{number}", "1.0.0", sha256,
        "MIT", "Fluent Emoji, copyright Microsoft Corporation",
        ("package/assets/",), "video", True, emoji,
    )
    for number, sha256 in enumerate(_ARCHIVES, start=1)
)  # fmt: skip
"""One collection, which its package parts in four; 730 MB in all, pictures in many skin tones included."""
