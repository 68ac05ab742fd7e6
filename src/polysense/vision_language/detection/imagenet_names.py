"""The names of ImageNet's 1,000 classes (ILSVRC 2012), in the order of a classifier's outputs.

The names are the short ones of CLIP's zero-shot evaluation (Radford et al., ICML 2021; github.com/openai/CLIP, MIT), in
lower case and with one name a class: what follows in brackets or after "or" and "/" is left out.
"""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """1,000 names in lower case; "missile" and "sunglasses" stand twice, as ImageNet has two classes of each."""
    text = (resources.files("polysense.vision_language") / "data" / "imagenet_names.txt").read_text("utf-8")
    return tuple(text.split("\n")[:-1])
