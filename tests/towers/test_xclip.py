"""X-CLIP's text tower, and CLIP's out of a whole model, against transformers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, PreTrainedModel, XCLIPModel, XCLIPVisionModel

import support
from polysense.errors import PolysenseError
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.towers.clip import ClipTower
from polysense.towers.registry import open_tower
from tiny_families import CONTEXT, padded, random_tokens, save_whole_clip, save_xclip

FAMILIES = {"xclip": (save_xclip, XCLIPModel), "clip": (save_whole_clip, CLIPModel)}


@pytest.fixture(scope="module", params=[*FAMILIES])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[family][0](tmp_path_factory.mktemp(family))


@pytest.mark.parametrize("raw", [False, True], ids=["projected", "raw"])
def test_as_transformers(family: str, folder: Path, raw: bool) -> None:
    tower = open_tower(f"raw:{folder}" if raw else str(folder))
    assert type(tower) is ClipTower
    assert (tower.width, tower.max_length) == (16 if raw else 12, CONTEXT)
    tokens = random_tokens(tower.tokenizer)
    assert {*range(3, CONTEXT + 1)} <= {*tokens.lengths}
    output = tower.encode(tokens)
    whole = FAMILIES[family][1].from_pretrained(folder, attn_implementation="eager").eval()
    ids, mask = padded(tokens, tower.tokenizer.pad_token_id)
    with torch.no_grad():
        text = whole.text_model(input_ids=ids, attention_mask=mask, output_attentions=True)
        project = (lambda x: x) if raw else whole.text_projection
    torch.testing.assert_close(output.pooled, project(text.pooler_output), **support.CLOSE)
    torch.testing.assert_close(output.states, project(text.last_hidden_state)[mask.bool()], **support.CLOSE)
    for b, (saliency, length) in enumerate(zip(output.saliency.split(tokens.lengths), tokens.lengths, strict=True)):
        row = text.attentions[-1][b, :, length - 1, :length].mean(dim=0)
        torch.testing.assert_close(saliency, row, **support.CLOSE)


def test_no_other_part_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nor said to be missing or unexpected."""
    made: list[str] = []
    start = PreTrainedModel.__init__

    def note(self: PreTrainedModel, *arguments: object, **settings: object) -> None:
        made.append(type(self).__name__)
        start(self, *arguments, **settings)

    # Only for this test: transformers keeps its messages from the root.
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(PreTrainedModel, "__init__", note)
    caplog.clear()
    open_tower(str(folder))
    assert made and {*made} <= {"CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTextTransformer"}
    assert "UNEXPECTED" not in caplog.text


def test_vision_part_alone_is_no_tower(tmp_path: Path) -> None:
    save_xclip(tmp_path)
    XCLIPVisionModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    with pytest.raises(PolysenseError, match=f"^tower {tmp_path}: .*xclip_vision_model"):
        open_tower(str(tmp_path))


def test_prototypes_of_pairs_and_long_texts(folder: Path) -> None:
    """Each text of a pair is read alone: CLIP reads to its first end."""
    extractor = PrototypeExtractor(open_tower(str(folder)))
    pair, long, first, second = extractor.extract([("the cat", "a dog"), "banana " * 40, "the cat", "a dog"])
    assert len(long.tokens) == 4
    kept = {(owner, *span) for owner, *span in pair.spans}
    assert kept <= {(0, *span[1:]) for span in first.spans} | {(1, *span[1:]) for span in second.spans}
