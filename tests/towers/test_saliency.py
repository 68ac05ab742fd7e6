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
from polysense.towers.encoder import ClipTower
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


def make_batch(tower: Tower) -> tuple[Tensor, Tensor]:
    """One sequence of each length from 3 to the longest, padded on the right with the tokenizer's padding id."""
    tokenizer = tower.tokenizer
    start, *_, end = tokenizer("cat")["input_ids"]
    generator = torch.Generator().manual_seed(0)
    rows = []
    for length in range(3, LONGEST + 1):
        words = torch.randint(5, 60, (length - 2,), generator=generator).tolist()
        rows.append([start, *words, end, *[tokenizer.pad_token_id] * (LONGEST - length)])
    mask = torch.arange(LONGEST) < torch.arange(3, LONGEST + 1)[:, None]
    return torch.tensor(rows), mask.long()


@pytest.mark.parametrize("layers", ["last", "all"])
def test_eq1_saliency_is_the_eager_maps_row(tower: Tower, folder: Path, layers: str) -> None:
    ids, mask = make_batch(tower)
    cls = CLIPTextModelWithProjection if isinstance(tower, ClipTower) else AutoModel
    eager = cls.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = eager(input_ids=ids, attention_mask=mask, output_attentions=True)
    output = tower.encode(ids, mask, layers)
    assert len(expected.attentions) == 2
    for b in range(len(ids)):
        length = int(mask[b].sum())
        pooled_from = length - 1 if isinstance(tower, ClipTower) else 0
        rows = []
        for attention in expected.attentions:
            heads = [attention[b, head, pooled_from] for head in range(attention.shape[1])]
            rows.append(sum(heads) / len(heads))
        row = rows[-1] if layers == "last" else sum(rows) / len(rows)
        torch.testing.assert_close(output.saliency[b], row, **support.CLOSE)
        assert output.saliency[b, length:].abs().sum() == 0
        assert float(output.saliency[b].sum()) == pytest.approx(1, abs=1e-5)
        states = expected.last_hidden_state[b, :length]
        if isinstance(tower, ClipTower):
            states = eager.text_projection(states).detach()
        torch.testing.assert_close(output.states[b, :length], states, **support.CLOSE)
    # The maps are far from even, so that a wrong row would show.
    assert (output.saliency[-1] - 1 / LONGEST).abs().max() > 0.05


def test_layers_differ(tower: Tower) -> None:
    ids, mask = make_batch(tower)
    last, both = (tower.encode(ids, mask, layers).saliency for layers in ("last", "all"))
    assert not torch.allclose(last, both, atol=1e-2)


def test_candidates_are_the_words(tower: Tower) -> None:
    """All real tokens but the first and the last."""
    ids, mask = make_batch(tower)
    for b, row in enumerate(tower.encode(ids, mask).candidates):
        length = int(mask[b].sum())
        assert row.nonzero().flatten().tolist() == list(range(1, length - 1))


def test_padding_does_not_matter(tower: Tower) -> None:
    """Each sequence alone gives what it gives in a padded batch."""
    ids, mask = make_batch(tower)
    together = tower.encode(ids, mask)
    for b in (0, 7, 20):
        length = int(mask[b].sum())
        alone = tower.encode(ids[b : b + 1, :length], mask[b : b + 1, :length])
        torch.testing.assert_close(alone.states[0], together.states[b, :length], **support.CLOSE)
        torch.testing.assert_close(alone.saliency[0], together.saliency[b, :length], **support.CLOSE)
        torch.testing.assert_close(alone.pooled[0], together.pooled[b], **support.CLOSE)


def test_threads_do_not_mix(tower: Tower) -> None:
    """Two threads at once read different sequences and get what one thread gets."""
    ids, mask = make_batch(tower)
    jobs = [(ids[i::4], mask[i::4]) for i in range(4)] * 5
    read: Callable[[tuple[Tensor, Tensor]], Tensor] = lambda job: tower.encode(*job, "all").saliency  # noqa: E731
    expected = [read(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        for got, wanted in zip(pool.map(read, jobs), expected, strict=True):
            assert torch.equal(got, wanted)
