"""The small BERT of studies."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.experiments import vl_backbone
from polysense.experiments.vl_backbone import open_backbone


def test_words_that_are_near_stay_near(tmp_path) -> None:
    folder = open_backbone("small:64", tmp_path)
    small = AutoModel.from_pretrained(folder).get_input_embeddings().weight
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert small.shape == (len(tokenizer), 64)
    assert small.std().item() == pytest.approx(0.02, rel=0.01)

    def near(a: str, b: str) -> float:
        ids = tokenizer.convert_tokens_to_ids([a, b])
        return torch.cosine_similarity(small[ids[0]], small[ids[1]], dim=0).item()

    assert near("dog", "cat") > near("dog", "piano") and near("red", "blue") > near("red", "piano")


def test_common_words_stay_whole_and_rare_ones_are_read_in_pieces(tmp_path) -> None:
    large, small = (
        AutoTokenizer.from_pretrained(f) for f in (resolve_model("minilm"), open_backbone("small:32", tmp_path))
    )
    assert len(small) < 10_000
    text = "Two red dogs, to the left of a large house."
    assert small(text)["input_ids"] == large(text)["input_ids"]  # the ids of what is kept are BERT's
    rare = "quixotic ptarmigan"
    assert small.decode(small(rare)["input_ids"], skip_special_tokens=True) == rare
    assert small.unk_token_id not in small(rare)["input_ids"] and len(small(rare)["input_ids"]) > 4
    assert AutoModel.from_pretrained(open_backbone("small:32", tmp_path)).config.vocab_size == len(small)


def test_it_is_made_once_and_other_names_are_left_alone(tmp_path, monkeypatch) -> None:
    first = open_backbone("small:32", tmp_path)
    monkeypatch.setattr("polysense.experiments.vl_backbone.small_bert", lambda *_: pytest.fail("made again"))
    assert open_backbone("small:32", tmp_path) == first
    assert open_backbone("minilm", tmp_path) == "minilm"


def test_another_recipe_is_made_anew(tmp_path, monkeypatch) -> None:
    first = open_backbone("small:32", tmp_path)
    monkeypatch.setattr(vl_backbone, "versions", lambda: {"torch": "another"})
    assert open_backbone("small:32", tmp_path) != first


@pytest.mark.parametrize("spec", ["small:", "small:x", "small:33", "small:4096", "small:0"])
def test_a_bad_width_is_one_line(spec: str, tmp_path) -> None:
    with pytest.raises(PolysenseError) as error:
        open_backbone(spec, tmp_path)
    assert "\n" not in str(error.value)
