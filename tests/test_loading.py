"""What a user sees of weights that are loaded: nothing where all is as it should be, one line where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

import support
from polysense.errors import PolysenseError
from polysense.models.backbone import load_backbone
from polysense.models.encoder_decoder import load_encoder_decoder
from polysense.models.new_backbone import small_encoder_decoder
from polysense.towers.registry import open_tower

SHOWN = ("LOAD REPORT", "MISSING", "UNEXPECTED")


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """A model's folder with other weights in it."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})
    return folder


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A BERT as its masked-word training leaves it: with a head, without a pooler."""
    folder = support.save_bert(tmp_path / "masked")
    BertForMaskedLM(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("opened", [load_backbone, lambda spec: open_tower(f"encoder:{spec}")])
def test_a_head_too_many_and_a_pooler_too_few_are_not_shown(
    opened: Callable[[str], object], masked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    both = support.save_bert(tmp_path / "both")
    BertForPreTraining(BertConfig.from_pretrained(both)).save_pretrained(both)
    for folder in (masked, both):
        opened(str(folder))
    captured = capfd.readouterr()
    assert not any(word in captured.out + captured.err for word in SHOWN)
    assert not caplog.records


@pytest.mark.parametrize("opened", [load_backbone, lambda spec: open_tower(f"encoder:{spec}")])
def test_a_weight_that_is_read_and_not_there_is_said_in_one_line(
    opened: Callable[[str], object], masked: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "bert.encoder.layer.1.output.dense.weight"
    opened(str(changed(masked, lambda weights: weights.pop(name))))
    (record,) = caplog.records
    line = record.getMessage()
    assert f"{masked}: 1 of its weights are not in its files and start at random" in line
    assert line.endswith("encoder.layer.1.output.dense.weight")


def test_another_shape_is_an_error_that_says_which(masked: Path) -> None:
    name = "bert.encoder.layer.1.output.dense.bias"
    folder = changed(masked, lambda weights: weights.update({name: torch.zeros(5)}))
    for opened in (load_backbone, lambda spec: open_tower(f"encoder:{spec}")):
        with pytest.raises(PolysenseError, match=r"layer\.1\.output\.dense\.bias is of shape \(5,\) where .* \(16,\)"):
            opened(str(folder))


def test_so_is_it_for_texts_that_are_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "t5"
    small_encoder_decoder(folder, ["the cat sits"], width=8, layers=1, heads=2, vocabulary=50)
    load_encoder_decoder(str(folder))
    assert not caplog.records
    name = "decoder.block.0.layer.2.DenseReluDense.wo.weight"
    load_encoder_decoder(str(changed(folder, lambda weights: weights.pop(name))))
    assert [name in record.getMessage() for record in caplog.records] == [True]
    changed(folder, lambda weights: weights.update({name: torch.zeros(3, 3)}))
    with pytest.raises(PolysenseError, match=r"wo\.weight is of shape \(3, 3\)"):
        load_encoder_decoder(str(folder))
