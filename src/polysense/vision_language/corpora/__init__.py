"""Benchmark data that others published: its examples, and regions of its pictures, computed once and kept."""

from polysense.vision_language.corpora.coco_mini import load_coco_mini
from polysense.vision_language.corpora.corpus import Corpus, folds
from polysense.vision_language.corpora.easy_vqa import load_easy_vqa
from polysense.vision_language.corpora.flickr8k import load_flickr8k
from polysense.vision_language.corpora.nlvr import load_nlvr
from polysense.vision_language.corpora.snli_ve import load_snli_ve

__all__ = ["Corpus", "folds", "load_coco_mini", "load_easy_vqa", "load_flickr8k", "load_nlvr", "load_snli_ve"]
