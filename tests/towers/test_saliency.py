"""Saliency rows against the full attention maps of the eager implementation (MaCSC section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, CLIPTextModelWithProjection

import support
from polysense.towers.clip import ClipTower
from polysense.towers.packing import PackedTokens
from polysense.towers.registry import open_tower
from polysense.towers.tower import Tower

LONGEST = 24


@pytest.fixture(scope="module", params=["bert", "clip", "clip, pad 0"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "bert":
        return support.save_bert(tmp_path_factory.mktemp("bert"), max_length=LONGEST)
    pad = "!" if request.param == "clip, pad 0" else "<|endoftext|>"
    return support.save_clip(tmp_path_factory.mktemp("clip"), max_length=LONGEST, pad=pad)


@pytest.fixture(scope="module")
def tower(folder: Path) -> Tower:
    is_bert = (folder / "config.json").read_text().count("BertModel")
    return open_tower(f"encoder:{folder}" if is_bert else str(folder))


def make_batch(tower: Tower) -> PackedTokens:
    """One sequence of each length from 3 to the longest, then two of each length from 3 to 6."""
    start, *_, end = tower.tokenizer("cat")["input_ids"]
    generator = torch.Generator().manual_seed(0)
    lengths = [*range(3, LONGEST + 1), 3, 3, 4, 4, 5, 5, 6, 6]
    words = [torch.randint(5, 60, (length - 2,), generator=generator).tolist() for length in lengths]
    return PackedTokens.pack([[start, *row, end] for row in words])


@pytest.mark.parametrize("layers", ["last", "all"])
def test_eq1_saliency_is_the_eager_maps_row(tower: Tower, folder: Path, layers: str) -> None:
    tokens = make_batch(tower)
    cls = CLIPTextModelWithProjection if isinstance(tower, ClipTower) else AutoModel
    eager = cls.from_pretrained(folder, attn_implementation="eager").eval()
    ids, mask = tokens.pad(tokens.input_ids), tokens.pad(torch.ones_like(tokens.input_ids))
    # Padded as its tokenizer pads: with zero, or with the id of the end.
    ids[mask == 0] = tower.tokenizer.pad_token_id
    with torch.no_grad():
        expected = eager(input_ids=ids, attention_mask=mask, output_attentions=True)
    output = tower.encode(tokens, layers)
    saliency, all_states = output.saliency.split(tokens.lengths), output.states.split(tokens.lengths)
    assert len(expected.attentions) == 2
    for b, length in enumerate(tokens.lengths):
        pooled_from = length - 1 if isinstance(tower, ClipTower) else 0
        rows = []
        for attention in expected.attentions:
            heads = [attention[b, head, pooled_from, :length] for head in range(attention.shape[1])]
            rows.append(sum(heads) / len(heads))
        row = rows[-1] if layers == "last" else sum(rows) / len(rows)
        torch.testing.assert_close(saliency[b], row, **support.CLOSE)
        assert float(saliency[b].sum()) == pytest.approx(1, abs=1e-5)
        states = expected.last_hidden_state[b, :length]
        if isinstance(tower, ClipTower):
            states = eager.text_projection(states).detach()
        torch.testing.assert_close(all_states[b], states, **support.CLOSE)
    # The maps are far from even, so that a wrong row would show.
    longest = tokens.lengths.index(LONGEST)
    assert (saliency[longest] - 1 / LONGEST).abs().max() > 0.05


def test_layers_differ(tower: Tower) -> None:
    tokens = make_batch(tower)
    last, both = (tower.encode(tokens, layers).saliency for layers in ("last", "all"))
    assert not torch.allclose(last, both, atol=1e-2)


def test_candidates_are_the_words(tower: Tower) -> None:
    """All tokens but the first and the last."""
    tokens = make_batch(tower)
    for row in tower.encode(tokens).candidates.split(tokens.lengths):
        assert row.nonzero().flatten().tolist() == list(range(1, len(row) - 1))


def test_sequences_do_not_see_each_other(tower: Tower) -> None:
    support.assert_sequences_apart(tower, make_batch(tower))


def test_threads_do_not_mix(tower: Tower) -> None:
    """Two threads at once read different sequences and get what one thread gets."""
    ids = [ids.tolist() for ids in make_batch(tower).input_ids.split(make_batch(tower).lengths)]
    jobs = [PackedTokens.pack(ids[i::4]) for i in range(4)] * 5
    read: Callable[[PackedTokens], Tensor] = lambda tokens: tower.encode(tokens, "all").saliency  # noqa: E731
    expected = [read(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        for got, wanted in zip(pool.map(read, jobs), expected, strict=True):
            assert torch.equal(got, wanted)
