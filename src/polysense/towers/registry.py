"""Opening a tower from what a person writes: `--tower image=SPEC`.

| spec | tower |
| --- | --- |
| `image` | the aligned image tower that ships with the package |
| `noise` | Gaussian noise (MaCSC Table 5) |
| `encoder:MODEL` | any text encoder as it is, unaligned (MaCSC Table 5); MODEL a hub id, a folder or `minilm` |
| a folder of `polysense align` | that aligned tower |
| a hub id or folder of a CLIP model | its text tower, projected to the shared space |
| `raw:MODEL` | the same without the projection |
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import cast

from transformers import AutoConfig, CLIPTextModelWithProjection

from polysense.embedded import EMBEDDED, resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors
from polysense.modality import MODALITIES
from polysense.towers.aligned import CONFIG_FILE, AlignedTower
from polysense.towers.encoder import ClipTower, EncoderTower, load_encoder
from polysense.towers.noise import NoiseTower
from polysense.towers.tower import Tower, load_tokenizer

SHIPPED = ("image",)
"""Aligned towers inside the package."""


def open_tower(spec: str) -> Tower:
    """The tower that a spec names (see the module's table).

    Raises:
        PolysenseError: there is no such tower, or it cannot be reached or read.
    """
    if spec in SHIPPED:
        with resources.as_file(resources.files("polysense.towers") / "shipped" / spec) as folder:
            return AlignedTower.load(folder, spec)
    if spec == "noise":
        return NoiseTower(_encoder(EMBEDDED, f"encoder:{EMBEDDED}"), spec)
    kind, colon, source = spec.partition(":")
    if colon and kind in ("encoder", "raw"):
        source = _absolute(source)
        return _encoder(source, f"{kind}:{source}") if kind == "encoder" else _clip(source, f"{kind}:{source}", False)
    spec = _absolute(spec)
    folder = Path(spec)
    if (folder / CONFIG_FILE).exists():
        return AlignedTower.load(folder, spec)
    if folder.exists() and not (folder / "config.json").exists():
        raise PolysenseError(f"tower {spec}: the folder has neither {CONFIG_FILE} nor a model's config.json")
    return _clip(spec, spec)


def parse_towers(assignments: Sequence[str]) -> dict[str, str]:
    """`["image=SPEC", ...]` to {modality: spec}. A modality's name alone stands for the shipped tower of that name.

    Raises:
        PolysenseError: a modality is unknown or named twice, or its spec is missing.
    """
    towers: dict[str, str] = {}
    for assignment in assignments:
        modality, _, spec = assignment.partition("=")
        spec = spec or (modality if modality in SHIPPED else "")
        if modality not in MODALITIES or not spec:
            known = ", ".join(MODALITIES)
            raise PolysenseError(f"--tower {assignment}: write MODALITY=TOWER, MODALITY one of {known}")
        if modality in towers:
            raise PolysenseError(f"--tower {assignment}: {modality} already has the tower {towers[modality]}")
        towers[modality] = spec
    return towers


def _encoder(source: str, spec: str) -> EncoderTower:
    with hub_errors("tower", source):
        return EncoderTower(load_encoder(source), load_tokenizer(source), spec)


def _absolute(source: str) -> str:
    """A folder by its whole path, so that a saved model finds its tower from anywhere."""
    return str(Path(source).resolve()) if source and Path(source).exists() else source


def _clip(source: str, spec: str, projected: bool = True) -> Tower:
    with hub_errors("tower", source):
        config = AutoConfig.from_pretrained(resolve_model(source))
        if config.model_type not in ("clip", "clip_text_model"):
            raise PolysenseError(
                f"tower {source}: a {config.model_type} model is not supported as a contrastive tower; "
                f"write encoder:{source} to use it unaligned"
            )
        model = cast("CLIPTextModelWithProjection", load_encoder(source))
        return ClipTower(model, load_tokenizer(source), spec, projected)
