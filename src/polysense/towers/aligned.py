"""Aligned towers: a text trunk, small trained adapters and a memory, aligned to one modality.

They play the role of CLIP's text tower where no hub is reachable. `polysense align` trains them
(`polysense.alignment`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.folder import check_files, leads_out, read_json
from polysense.loading import hub_errors
from polysense.towers.memory import Memory
from polysense.towers.packed_encoder import PackedEncoder, load_encoder, usable_length
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import SaliencyLayers, TokenStates, Tower, load_tokenizer

CONFIG_FILE = "aligned_tower.json"
WEIGHTS_FILE = "aligned_tower.safetensors"

OWN_TRUNK = "./trunk"
"""The trunk of a tower that was trained whole: a folder in the tower's own."""


@dataclass(frozen=True)
class AlignedConfig:
    """What an aligned tower is made of.

    Attributes:
        trunk: name, hub id or folder of the text model, or `OWN_TRUNK`.
        width: D, of the features of the modality.
        rank: of the adapters.
        entries: of the memory.

    Raises:
        ValueError: one is of another type, below 0, or more than torch can count to.
    """

    trunk: str = EMBEDDED
    width: int = 128
    rank: int = 32
    entries: int = 0

    def __post_init__(self) -> None:
        sizes = (self.width, self.rank, self.entries)
        if not isinstance(self.trunk, str) or not all(isinstance(n, int) and 0 <= n <= sys.maxsize for n in sizes):
            raise ValueError("trunk is a text, and width, rank and entries are whole numbers")


class Adapter(nn.Module):
    """A bottleneck that starts as zero: up(gelu(down(x)))."""

    def __init__(self, d_in: int, d_out: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(d_in, rank)
        self.up = nn.Linear(rank, d_out)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.gelu(self.down(x)))


class AlignedHead(nn.Module):
    """From trunk states to features of the modality: what the memory finds, plus what the projection adds.

    The query adapter decides what is asked of the memory; the projection learns what the memory cannot give. With
    both at their start (zero) the head reads the memory with the trunk's own states.

    What is read of a memory is a mean, with a large part that all texts share. `standardise` learns that part and the
    spread around it, so that the features a tower gives are centred and of the size that layers are made for.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, d: int, width: int, rank: int, memory: Memory) -> None:
        super().__init__()
        self.query = Adapter(d, d, rank)
        self.projection = Adapter(d, width, rank)
        self.memory = memory
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, states: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(..., d) to (..., D), comparable by cosine to the features of real things; `hidden` as in `Memory`."""
        states = F.normalize(states, dim=-1)
        query = F.normalize(states + self.query(states), dim=-1)
        return self.memory(query, hidden) + self.projection(states)

    def features(self, states: Tensor) -> Tensor:
        """(..., d) to (..., D), centred and scaled: what the tower gives."""
        return (self(states) - self.centre) / self.scale

    @torch.no_grad()
    def standardise(self, states: Tensor) -> None:
        """Learn centre and scale from token states (n, d) of the training captions."""
        raw = self(states)
        self.centre.copy_(raw.mean(dim=0))
        self.scale.copy_((raw - self.centre).square().mean().sqrt().clamp(min=1e-6))


def _is_read(name: str) -> bool:
    """Whether a file of a tower's folder is the tower's, not a report on it."""
    return name in (CONFIG_FILE, WEIGHTS_FILE) or name.startswith(f"{Path(OWN_TRUNK).name}/")


class AlignedTower(Tower):
    """A trunk and its head as one tower. Features of tokens and of the sentence (mean of its tokens) share a space."""

    trainable = True

    def __init__(
        self,
        config: AlignedConfig,
        trunk: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        head: AlignedHead,
        spec: str,
    ) -> None:
        super().__init__()
        self.config, self.spec, self.width = config, spec, config.width
        self.trunk, self.tokenizer, self.head = trunk, tokenizer, head
        self.max_length = usable_length(trunk, tokenizer)
        self.freeze()
        self.encoder = PackedEncoder(trunk)

    def encode(self, tokens: PackedTokens, layers: SaliencyLayers = "last") -> TokenStates:
        states, saliency = self.encoder(tokens, torch.zeros_like(tokens.sizes), layers=layers)
        pooled = self.head.features(tokens.mean(states))
        return TokenStates(self.head.features(states), self.candidates(tokens.input_ids), saliency, pooled)

    def thaw(self) -> Self:
        """Trunk and head; the memory's entries stay what they are."""
        self.config = replace(self.config, trunk=OWN_TRUNK)
        return super().thaw()

    def save(self, folder: Path) -> None:
        """Write configuration and head; the trunk is named, and copied only if it is the tower's own."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.config.trunk == OWN_TRUNK:
            self.trunk.save_pretrained(str(folder / OWN_TRUNK))
            self.tokenizer.save_pretrained(str(folder / OWN_TRUNK))
        save_file({k: v.contiguous() for k, v in self.head.state_dict().items()}, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(asdict(self.config), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, spec: str) -> AlignedTower:
        """Open a folder that `save` wrote.

        Raises:
            PolysenseError: a file is missing, damaged or does not fit its configuration.
        """
        check_files(folder, _is_read)
        try:
            config = AlignedConfig(**read_json(folder / CONFIG_FILE))
            weights = load_file(folder / WEIGHTS_FILE)
        except Exception as error:
            raise PolysenseError(f"{folder} is no readable aligned tower: {error}") from error
        source = config.trunk
        if source == OWN_TRUNK:
            if leads_out(folder, OWN_TRUNK):
                raise PolysenseError(f"{folder / OWN_TRUNK} leads out of its folder: copy the whole tower again")
            source = str(folder / OWN_TRUNK)
        with hub_errors(f"trunk of the tower {spec}:", source):
            trunk, tokenizer = load_encoder(source), load_tokenizer(source)
        d = trunk.config.hidden_size
        try:
            with torch.device("meta"):  # sizes that the weights do not have take no memory
                memory = Memory(torch.zeros(config.entries, d), torch.zeros(config.entries, config.width))
                head = AlignedHead(d, config.width, config.rank, memory)
            kinds = {name: value.dtype for name, value in head.state_dict().items()}
            own = {name: value.to(kinds.get(name, value.dtype), copy=True) for name, value in weights.items()}
            head.load_state_dict(own, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise PolysenseError(f"{folder / WEIGHTS_FILE} does not fit {CONFIG_FILE}: {reason}") from error
        return cls(config, trunk, tokenizer, head, spec)
