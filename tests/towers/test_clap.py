"""CLAP's text tower against transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import ClapTextModelWithProjection

import support
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.towers.clap import ClapTower
from polysense.towers.registry import open_tower
from polysense.towers.tower import SaliencyLayers
from tiny_families import CONTEXT, padded, random_tokens, save_clap


@pytest.fixture(scope="module", params=[True, False], ids=["whole", "text part"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clap(tmp_path_factory.mktemp("clap"), whole=request.param)


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("raw", [False, True], ids=["projected", "raw"])
def test_as_transformers(folder: Path, raw: bool, layers: SaliencyLayers) -> None:
    tower = open_tower(f"raw:{folder}" if raw else str(folder))
    assert type(tower) is ClapTower
    assert (tower.width, tower.max_length) == (16 if raw else 12, CONTEXT)
    tokens = random_tokens(tower.tokenizer)
    assert {*range(3, CONTEXT + 1)} <= {*tokens.lengths}
    output = tower.encode(tokens, layers)
    config = tower.model.config
    model = ClapTextModelWithProjection.from_pretrained(folder, config=config, attn_implementation="eager").eval()
    ids, mask = padded(tokens, tower.tokenizer.pad_token_id)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask, output_attentions=True)
    states = expected.last_hidden_state
    torch.testing.assert_close(output.pooled, states[:, 0] if raw else expected.text_embeds, **support.CLOSE)
    if raw:
        torch.testing.assert_close(output.states, states[mask.bool()], **support.CLOSE)
    else:
        # Each token takes the way of the first: pooler and projection.
        for row, real, got in zip(states, mask.sum(dim=1), output.states.split(tokens.lengths), strict=True):
            for i in range(int(real)):
                dense, projection = model.text_model.pooler.dense, model.text_projection
                pooled = torch.tanh(dense.weight @ row[i] + dense.bias)
                hidden = torch.relu(projection.linear1.weight @ pooled + projection.linear1.bias)
                feature = projection.linear2.weight @ hidden + projection.linear2.bias
                # Three layers of sums, whose order differs between processors.
                torch.testing.assert_close(got[i], feature, rtol=1e-5, atol=3e-5)
    maps = torch.stack([attention[:, :, 0].mean(dim=1) for attention in expected.attentions])
    rows = maps[-1] if layers == "last" else maps.mean(dim=0)
    torch.testing.assert_close(output.saliency, rows[mask.bool()], **support.CLOSE)
    longest = tokens.lengths.index(CONTEXT)
    assert (rows[longest] - 1 / CONTEXT).abs().max() > 0.05
    for candidates in output.candidates.split(tokens.lengths):
        assert candidates.nonzero().flatten().tolist() == list(range(1, len(candidates) - 1))


def test_sequences_do_not_see_each_other(folder: Path) -> None:
    tower = open_tower(str(folder))
    support.assert_sequences_apart(tower, random_tokens(tower.tokenizer))


def test_the_model_itself_is_not_packed(folder: Path) -> None:
    """Outside `encode`, the tower's model attends as transformers has it."""
    tower = open_tower(str(folder))
    tokens = random_tokens(tower.tokenizer)
    packed = tower.encode(tokens)
    ids, mask = padded(tokens, tower.tokenizer.pad_token_id)
    with torch.no_grad():
        torch.testing.assert_close(
            tower.model(input_ids=ids, attention_mask=mask).text_embeds, packed.pooled, **support.CLOSE
        )


def test_prototypes_of_texts_and_pairs(folder: Path) -> None:
    extractor = PrototypeExtractor(open_tower(str(folder)))
    text, pair, long, empty = extractor.extract(["a cat sits", ("cat", "dog"), "banana " * 20, ""])
    assert text.features.shape == (4, 12)
    assert all("a cat sits"[start:end].strip() == token.strip("Ġ") for (_, start, end), token in _pairs(text))
    assert {owner for owner, *_ in pair.spans} == {0, 1}
    assert (len(long.tokens), len(empty.tokens)) == (4, 0)


def _pairs(found: object) -> list[tuple[tuple[int, int, int], str]]:
    return list(zip(found.spans, found.tokens, strict=True))
