"""All readers of files, by what they read."""

from benchmarks.reliability.fuzz.readers.annotations import ANNOTATIONS
from benchmarks.reliability.fuzz.readers.experiments import EXPERIMENTS
from benchmarks.reliability.fuzz.readers.media import MEDIA
from benchmarks.reliability.fuzz.readers.models import MODELS
from benchmarks.reliability.fuzz.readers.regions import REGIONS
from benchmarks.reliability.fuzz.readers.rows import ROWS
from benchmarks.reliability.fuzz.readers.stores import STORES

READERS = (*ROWS, *ANNOTATIONS, *REGIONS, *MEDIA, *MODELS, *STORES, *EXPERIMENTS)
