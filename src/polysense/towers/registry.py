"""Opening a tower from what a person writes: `--tower image=SPEC`.

| spec | tower |
| --- | --- |
| `image`, ... | the aligned tower of that modality that ships with the package |
| `noise` | Gaussian noise (MaCSC Table 5) |
| `encoder:MODEL` | any text encoder as it is, unaligned (MaCSC Table 5); MODEL a hub id, a folder or `minilm` |
| a folder of `polysense align` | that aligned tower |
| a hub id or folder of a model of `FAMILIES` | its text tower, projected to the shared space |
| `raw:MODEL` | the same without the projection |
| `bf16:SPEC` | an encoder or a model of `FAMILIES` with its weights in bfloat16, as in `bf16:raw:MODEL` |

`train:SPEC`, a tower that is trained along with a model, is opened by `polysense.retrieval.opening`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from transformers import AutoConfig, ClapTextConfig, PreTrainedConfig, Siglip2TextConfig, SiglipTextConfig

from polysense.embedded import EMBEDDED, resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors, open_auto
from polysense.modality import MODALITIES
from polysense.towers.aligned import CONFIG_FILE, AlignedTower
from polysense.towers.checkpoints import SUFFIXES
from polysense.towers.clap import open_clap
from polysense.towers.clip import open_clip
from polysense.towers.encoder import EncoderTower
from polysense.towers.noise import NoiseTower
from polysense.towers.packed_encoder import load_encoder
from polysense.towers.siglip import open_siglip
from polysense.towers.tower import Tower, load_tokenizer


@dataclass(frozen=True)
class Family:
    """Contrastive models whose text towers are read alike.

    Attributes:
        name: of the family.
        model_types: as the models' config.json has them, for whole models and for text parts that stand alone.
        modality: that the models were trained beside.
        hub_id: a model of the family, of the size that the papers use.
        width: of its raw token states.
        projected: width of its features.
        open: takes a hub id or folder, its configuration, the spec and whether features are projected.
    """

    name: str
    model_types: tuple[str, ...]
    modality: str
    hub_id: str
    width: int
    projected: int
    open: Callable[[str, PreTrainedConfig, str, bool], Tower]


_SIGLIP = ("siglip", "siglip_text_model")
_SIGLIP2 = ("siglip2", "siglip2_text_model")

FAMILIES = (
    Family("clip", ("clip", "clip_text_model"), "image", "openai/clip-vit-base-patch32", 512, 512, open_clip),
    Family("siglip", _SIGLIP, "image", "google/siglip-base-patch16-224", 768, 768, open_siglip),
    Family("siglip2", _SIGLIP2, "image", "google/siglip2-base-patch16-224", 768, 768, open_siglip),
    Family("clap", ("clap", "clap_text_model"), "audio", "laion/clap-htsat-unfused", 768, 512, open_clap),
    Family("xclip", ("xclip",), "video", "microsoft/xclip-base-patch32", 512, 512, open_clip),
)
"""The families that a hub offers."""

for _config in (ClapTextConfig, SiglipTextConfig, Siglip2TextConfig):
    # transformers 5.3 knows them within a whole model's configuration alone.
    AutoConfig.register(_config.model_type, _config, exist_ok=True)

SHIPPED = tuple(
    name for name in MODALITIES if (resources.files("polysense.towers") / "shipped" / name / CONFIG_FILE).is_file()
)
"""The aligned towers inside the package, each named after its modality: the folders of `towers/shipped`."""


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
    if colon and kind == "train":
        raise PolysenseError(f"tower {spec}: only polysense train and compare train a tower; give {source} itself")
    if colon and kind == "bf16":
        if source.startswith("bf16:"):
            raise PolysenseError("tower bf16:bf16:...: write bf16: once")
        return _halved(open_tower(source))
    if colon and kind == "encoder":
        source = _located(source)
        return _encoder(source, f"encoder:{source}")
    if colon and kind == "raw":
        source = _located(source)
        return _contrastive(source, f"raw:{source}", projected=False)
    spec = _located(spec)
    folder = Path(spec)
    # Unlike `Path.exists`, False for a name that no folder can have.
    if os.path.exists(folder / CONFIG_FILE):
        return AlignedTower.load(folder, spec)
    if os.path.exists(folder) and not os.path.exists(folder / "config.json"):
        raise PolysenseError(
            f"tower {spec}: the folder has neither {CONFIG_FILE} nor a model's config.json; "
            "give the folder of a tower or of a model"
        )
    return _contrastive(spec, spec)


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


def family_of(config: PreTrainedConfig) -> Family | None:
    """The family of a model by its configuration."""
    return next((family for family in FAMILIES if config.model_type in family.model_types), None)


def _located(source: str) -> str:
    """A folder by its whole path, so that a saved model finds its tower from anywhere; a hub id as it is.

    Raises:
        PolysenseError: it is a checkpoint in a format of its own, or another file.
    """
    path = Path(source)
    if not source or not os.path.exists(path):
        return source
    files = [path] if path.is_file() else list(path.iterdir())
    is_model = any(file.name in ("config.json", CONFIG_FILE) for file in files)
    if not is_model and any(file.suffix in SUFFIXES for file in files):
        raise PolysenseError(
            f"tower {source}: a checkpoint in its own format; convert it once with "
            f"polysense towers convert {source} --to FOLDER, and give that folder"
        )
    if path.is_file():
        raise PolysenseError(f"tower {source}: this is a file; a tower is a folder, a hub id or a name")
    return str(path.resolve())


def _encoder(source: str, spec: str) -> EncoderTower:
    with hub_errors("tower", source):
        return EncoderTower(load_encoder(source), load_tokenizer(source), spec)


def _contrastive(source: str, spec: str, projected: bool = True) -> Tower:
    with hub_errors("tower", source):
        config = open_auto(AutoConfig, resolve_model(source))
        family = family_of(config)
        if family is None:
            raise PolysenseError(
                f"tower {source}: a {config.model_type} model is not supported as a contrastive tower; "
                f"write encoder:{source} to use it unaligned"
            )
        return family.open(source, config, spec, projected)


def _halved(tower: Tower) -> Tower:
    if isinstance(tower, AlignedTower | NoiseTower):
        raise PolysenseError(f"tower bf16:{tower.spec}: only encoders and models of a hub can be had in bfloat16")
    tower.spec = f"bf16:{tower.spec}"
    return tower.to(torch.bfloat16)
