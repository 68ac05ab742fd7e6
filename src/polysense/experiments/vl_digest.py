"""What a finished cell of a study depends on, in a few characters: code, files, examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import polysense
from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.folder import file_digest
from polysense.methods.catalog import method_config
from polysense.prototypes.reading import Reading
from polysense.retrieval.opening import open_source
from polysense.scene_graphs.extractor import GraphExtractor
from polysense.towers.registry import parse_towers
from polysense.training.train import DEFAULT_TOWERS, versions
from polysense.vision_language.region_files.source import RegionFile
from polysense.vision_language.tasks import Split

PACKAGE = Path(polysense.__file__).parent
_NOT_IN_A_SCORE = (
    "alignment", "cli", "explain", "experiments/demo.py", "experiments/demo_figure.py", "experiments/grid.py",
    "experiments/results.py", "experiments/vl_report.py", "experiments/cells.py", "experiments/figures",
    "experiments/reproduce", "experiments/runs.py", "experiments/statistics.py", "experiments/workers.py",
    "pages", "report", "retrieval", "vision_language/drawing.py",
    "vision_language/prediction.py",
    "vision_language/world",  # a world's files are digested themselves
)  # fmt: skip


def digest(*parts: Any) -> str:
    """Twelve hexadecimal digits of values that JSON can hold, the versions of libraries, and the code."""
    text = json.dumps([*parts, versions(), source_digest(PACKAGE)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def source_digest(package: Path) -> str:
    """Of the code and the data files of a package that a score depends on."""
    found = hashlib.sha256()
    for file in sorted(package.rglob("*")):
        name = file.relative_to(package)
        if not file.is_file() or "__pycache__" in name.parts or any(map(name.is_relative_to, _NOT_IN_A_SCORE)):
            continue
        found.update(f"{name.as_posix()} {file_digest(file)}\n".encode())
    return found.hexdigest()


def folder_digest(folder: Path) -> str:
    """Of the files in a folder, not those in its folders: names and whole contents.

    Raises:
        PolysenseError: there is no such folder, or a file cannot be read.
    """
    if not folder.is_dir():
        raise PolysenseError(f"{folder}: no such folder; give a folder of data, e.g. of a world that vl world made")
    return digest([[file.name, file_digest(file)] for file in sorted(folder.iterdir()) if file.is_file()])


def backbone_digest(backbone: str) -> str:
    """Of the files of a BERT that is a folder here; of another, its hub id."""
    folder = Path(resolve_model(backbone))
    return folder_digest(folder) if folder.is_dir() else backbone


@cache
def method_identity(method: str) -> Mapping[str, Any]:
    """Of what a method reads beside its model: the default towers, how they are read, and the parser.

    Raises:
        PolysenseError: a tower or the parser cannot be had.
    """
    chosen = method_config(method)
    towers = parse_towers(DEFAULT_TOWERS) if chosen.multimodal else {}
    return {
        "towers": {modality: open_source(spec).fingerprint for modality, spec in towers.items()},
        "reading": Reading().to_dict(),
        "scene_graphs": dict(GraphExtractor().identity) if chosen.uses_graph else None,
    }


def split_digest(split: Split[Any]) -> str:
    """Of examples and of the name of their file of regions; corpora put a digest of what made it into that name."""
    regions = split.regions.path.name if isinstance(split.regions, RegionFile) else ""
    return digest([asdict(example) for example in split.examples], regions)
