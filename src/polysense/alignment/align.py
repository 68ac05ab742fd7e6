"""`polysense align`: from pictures, sounds or clips with captions to a tower in a folder, with its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from polysense.alignment.card import tower_card
from polysense.alignment.kinds import kind_of
from polysense.alignment.manifest import Pair, load_pairs
from polysense.alignment.sources import SOURCES, load_source
from polysense.alignment.space import part_tensors
from polysense.alignment.training import AlignmentData, AlignmentSettings, train_head
from polysense.embedded import EMBEDDED
from polysense.errors import PolysenseError
from polysense.folder import check_free, whole_folder, write_json, write_whole
from polysense.loading import hub_errors
from polysense.prototypes.selection import top_k
from polysense.towers.aligned import CONFIG_FILE, AlignedConfig, AlignedTower
from polysense.towers.encoder import EncoderTower
from polysense.towers.packed_encoder import load_encoder
from polysense.towers.packing import PackedTokens
from polysense.towers.tower import load_tokenizer

TOKENS_A_CAPTION = 4
SPACE_FILE = "feature_space.safetensors"
REPORT_FILE = "report.json"


def align(
    output: Path,
    sources: Sequence[str] | None = None,
    trunk: str = EMBEDDED,
    settings: AlignmentSettings | None = None,
    *,
    modality: str = "image",
    command: str = "",
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a tower that is aligned to a modality and write it to `output`.

    Args:
        output: the tower's folder; whole or not there at all.
        sources: names of the registries' data (`sources.SOURCES`), folders or manifests of items with captions; None:
            the registries' data of the modality whose licence lets single features be passed on.
        trunk: a name, hub id or folder of a BERT-like text model.
        modality: "image", "audio" or "video".
        command: for the card.
        overwrite: replace a tower that is already there.

    Returns:
        the report: settings, counts, held-out retrieval of the tower beside chance and the unaligned trunk.

    Raises:
        PolysenseError: nothing to train on, or `output` is taken.
    """
    settings, kind = settings or AlignmentSettings(), kind_of(modality)
    if sources is None:
        sources = [name for name, source in SOURCES.items() if source.modality == modality and source.ships]
    check_free(output, overwrite, marker=CONFIG_FILE)
    with hub_errors("trunk", trunk):
        encoder = EncoderTower(load_encoder(trunk), load_tokenizer(trunk), trunk)
    pairs = [pair for source in sources for pair in load_items(source, modality)]
    features = kind.features([pair.file for pair in pairs], progress=progress)
    pairs = [pairs[i] for i in features.kept.tolist()]
    data = alignment_data(pairs, part_tensors(features.parts), encoder, kind.prompts)
    head, space, report = train_head(data, settings, progress)
    report = {"command": command, "modality": modality, "sources": list(sources), "trunk": trunk, **report}
    config = AlignedConfig(trunk, space.width, settings.rank, len(head.memory.keys))
    tower = AlignedTower(config, encoder.model, encoder.tokenizer, head, str(output))
    with whole_folder(output) as staged:
        tower.save(staged)
        save_file(space.state_dict(), staged / SPACE_FILE)
        write_json(staged / REPORT_FILE, report)
        write_whole(staged / "README.md", tower_card(report, sources))
    return report


def alignment_data(
    pairs: Sequence[Pair], parts: dict[str, Tensor], encoder: EncoderTower, prompts: Sequence[str]
) -> AlignmentData:
    """Captions read by the trunk, and items, all numbered by concept.

    A caption that is also the name of another concept is left out of its second place, so that a held-out concept
    cannot be found under another's captions.
    """
    numbers = {concept: i for i, concept in enumerate(dict.fromkeys(pair.concept for pair in pairs))}
    if len(numbers) < 3:
        raise PolysenseError(
            f"the captions name {len(numbers)} different things: it takes 3, one to test and two to contrast"
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
    states, token_states = read_captions([caption for caption, _ in captions], encoder, prompts)
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
def read_captions(
    captions: Sequence[str], encoder: EncoderTower, prompts: Sequence[str], batch_size: int = 128
) -> tuple[Tensor, Tensor]:
    """Sentence states (n, d) of captions, and the states (t, d) of their most salient tokens in prompts.

    The first prompt is "{}", the caption alone, whose sentence states are taken.
    """
    sentences, tokens = [], []
    for prompt in prompts:
        for start in range(0, len(captions), batch_size):
            texts = [prompt.format(caption) for caption in captions[start : start + batch_size]]
            encoded = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_length)
            packed = PackedTokens.pack(encoded["input_ids"])
            output = encoder.encode(packed)
            positions, mask = top_k(packed.pad(output.saliency), packed.pad(output.candidates), TOKENS_A_CAPTION)
            tokens.append(output.states[(packed.starts[:, None] + positions)[mask]])
            if prompt == prompts[0]:
                sentences.append(output.pooled)
    return torch.cat(sentences), torch.cat(tokens)


def load_items(source: str, modality: str) -> list[Pair]:
    """The items of one of the registries' collections, or the user's own, with captions.

    Raises:
        PolysenseError: there is no such source, it is one of another modality, or it cannot be fetched or read.
    """
    kind = kind_of(modality)
    if source in SOURCES:
        if SOURCES[source].modality != modality:
            raise PolysenseError(f"source {source} is {SOURCES[source].modality}, not {modality}: change --modality")
        return load_source(source)
    if not Path(source).expanduser().exists():
        known = ", ".join(name for name in SOURCES if SOURCES[name].modality == modality)
        raise PolysenseError(f"source {source}: no such file or folder, nor one of the registries' data: {known}")
    return load_pairs(source, kind.endings, kind.item, folders=kind.folders)
