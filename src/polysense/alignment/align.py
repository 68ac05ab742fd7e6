"""`polysense align`: from pictures and captions to a tower in a folder, with its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from polysense.alignment.card import tower_card
from polysense.alignment.manifest import Pair, load_pairs
from polysense.alignment.pictures import picture_features
from polysense.alignment.sources import SOURCES, load_source
from polysense.alignment.training import AlignmentData, AlignmentSettings, train_head
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.folder import check_free, whole_folder, write_json, write_whole
from polysense.loading import hub_errors
from polysense.prototypes.selection import top_k
from polysense.towers.aligned import CONFIG_FILE, AlignedConfig, AlignedTower
from polysense.towers.encoder import EncoderTower, load_encoder
from polysense.towers.tower import load_tokenizer

PROMPTS = ("{}", "a photo of a {}", "the color of a {}")
"""The size of the features is learnt from captions alone and inside sentences, as tokens will be in use."""

TOKENS_A_CAPTION = 4
SHIPPING_SOURCES = tuple(name for name, source in SOURCES.items() if source.ships)


def align(
    output: Path,
    sources: Sequence[str] = SHIPPING_SOURCES,
    trunk: str = EMBEDDED,
    settings: AlignmentSettings | None = None,
    *,
    command: str = "",
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train an aligned image tower and write it to `output`.

    Args:
        output: the tower's folder; whole or not there at all.
        sources: names of the registries' data (`sources.SOURCES`), folders or manifests of pictures with captions.
        trunk: a name, hub id or folder of a BERT-like text model.
        command: for the card.
        overwrite: replace a tower that is already there.

    Returns:
        the report: settings, counts, held-out retrieval of the tower beside chance and the unaligned trunk.

    Raises:
        PolysenseError: nothing to train on, or `output` is taken.
    """
    settings = settings or AlignmentSettings()
    check_free(output, overwrite, marker=CONFIG_FILE)
    with hub_errors("trunk", trunk):
        encoder = EncoderTower(load_encoder(trunk), load_tokenizer(trunk), trunk)
    pairs = [pair for source in sources for pair in _load(source)]
    pictures = picture_features([pair.file for pair in pairs], progress="pictures" if progress else None)
    pairs = [pairs[i] for i in pictures.kept.tolist()]
    parts = {"seen": torch.from_numpy(pictures.features), "colours": torch.from_numpy(pictures.colours).sqrt()}
    data = alignment_data(pairs, parts, encoder)
    head, space, report = train_head(data, settings, progress)
    report = {"command": command, "sources": list(sources), "trunk": trunk, **report}
    config = AlignedConfig(trunk, space.width, settings.rank, len(head.memory.keys))
    tower = AlignedTower(config, encoder.model, encoder.tokenizer, head, str(output))
    with whole_folder(output) as staged:
        tower.save(staged)
        save_file(space.state_dict(), staged / "feature_space.safetensors")
        write_json(staged / "report.json", report)
        write_whole(staged / "README.md", tower_card(report, sources))
    return report


def alignment_data(pairs: Sequence[Pair], parts: dict[str, Tensor], encoder: EncoderTower) -> AlignmentData:
    """Captions read by the trunk, and items, all numbered by concept.

    A caption that is also the name of another concept is left out of its second place, so that a held-out concept
    cannot be found under another's captions.
    """
    numbers = {concept: i for i, concept in enumerate(dict.fromkeys(pair.concept for pair in pairs))}
    if len(numbers) < 3:
        raise PolysenseError(
            f"the pictures' captions name {len(numbers)} different things: it takes 3, one to test and two to contrast"
        )
    captions: dict[tuple[str, int], bool] = {}
    taken: dict[str, int] = {}
    for pair in pairs:
        number = numbers[pair.concept]
        taken.setdefault(pair.captions[0], number)
        is_first = not any(n == number for _, n in captions)
        captions.setdefault((pair.captions[0], number), is_first)
    for pair in pairs:
        for caption in pair.captions[1:]:
            if taken.setdefault(caption, numbers[pair.concept]) == numbers[pair.concept]:
                captions.setdefault((caption, numbers[pair.concept]), False)
    states, token_states = read_captions([caption for caption, _ in captions], encoder)
    return AlignmentData(
        states=states,
        token_states=token_states,
        text_concepts=torch.tensor([number for _, number in captions]),
        main=torch.tensor(list(captions.values())),
        parts=parts,
        item_concepts=torch.tensor([numbers[pair.concept] for pair in pairs]),
        may_ship=torch.tensor([pair.source not in SOURCES or SOURCES[pair.source].ships for pair in pairs]),
    )


@torch.no_grad()
def read_captions(captions: Sequence[str], encoder: EncoderTower, batch_size: int = 128) -> tuple[Tensor, Tensor]:
    """Sentence states (n, d) of captions, and the states (t, d) of their most salient tokens, alone and in prompts."""
    sentences, tokens = [], []
    for prompt in PROMPTS:
        for start in range(0, len(captions), batch_size):
            texts = [prompt.format(caption) for caption in captions[start : start + batch_size]]
            encoded = encoder.tokenizer(
                texts, padding=True, truncation=True, max_length=encoder.max_length, return_tensors="pt"
            )
            output = encoder.encode(encoded["input_ids"], encoded["attention_mask"])
            positions, mask = top_k(output.saliency, output.candidates, TOKENS_A_CAPTION)
            chosen = output.states.gather(1, positions[..., None].expand(-1, -1, output.states.shape[-1]))
            tokens.append(chosen[mask])
            if prompt == PROMPTS[0]:
                sentences.append(output.pooled)
    return torch.cat(sentences), torch.cat(tokens)


def _load(source: str) -> list[Pair]:
    if source in SOURCES:
        return load_source(source)
    if not Path(source).exists():
        known = ", ".join(SOURCES)
        raise PolysenseError(f"source {source}: no such file or folder, nor one of the registries' data: {known}")
    return load_pairs(source)
