"""Readers and writers of the files in which vision-language data sets are published, one module a format."""

from polysense.vision_language.annotations.coco import (
    Instances,
    read_captions,
    read_instances,
    read_sizes,
    write_captions,
    write_instances,
)
from polysense.vision_language.annotations.nlvr2 import read_nlvr2, write_nlvr2
from polysense.vision_language.annotations.refcoco import (
    read_candidates,
    read_refcoco,
    read_refcoco_splits,
    write_refcoco,
)
from polysense.vision_language.annotations.snli_ve import read_snli_ve, write_snli_ve
from polysense.vision_language.annotations.visual_genome import (
    read_objects,
    read_region_captions,
    write_image_data,
    write_objects,
    write_region_captions,
)
from polysense.vision_language.annotations.vqa import read_vqa, write_vqa

__all__ = [
    "Instances",
    "read_candidates",
    "read_captions",
    "read_instances",
    "read_nlvr2",
    "read_objects",
    "read_refcoco",
    "read_refcoco_splits",
    "read_region_captions",
    "read_sizes",
    "read_snli_ve",
    "read_vqa",
    "write_captions",
    "write_image_data",
    "write_instances",
    "write_nlvr2",
    "write_objects",
    "write_refcoco",
    "write_region_captions",
    "write_snli_ve",
    "write_vqa",
]
