"""What may be said where a saved model is loaded: the type of its numbers, and fields of its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.models.adapters import AdapterSettings, Kind


@pytest.mark.parametrize("kind", [None, *get_args(Kind)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_is_read_in_half_precision(
    tmp_path: Path, bert_folder: Path, kind: str | None, dtype: torch.dtype
) -> None:
    adapter = AdapterSettings.of(kind).to_dict() if kind else None
    inputs = PolysenseProcessor.from_backbone(str(bert_folder))(["the cat", "a dog on the mat"])
    model = PolysenseForSequenceClassification.from_backbone(str(bert_folder), PolysenseConfig(adapter=adapter)).eval()
    model.save_pretrained(tmp_path)
    loaded = PolysenseForSequenceClassification.from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in loaded.parameters()} == {dtype}
    with torch.no_grad():
        found, expected = loaded(**inputs).logits, model(**inputs).logits
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", [None, "lora"])
def test_fields_of_the_configuration_can_be_given_where_a_model_is_loaded(
    tmp_path: Path, bert_folder: Path, kind: str | None
) -> None:
    adapter = AdapterSettings.of(kind).to_dict() if kind else None
    PolysenseForSequenceClassification.from_backbone(
        str(bert_folder), PolysenseConfig(adapter=adapter)
    ).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, dropout=0.3, dtype=torch.bfloat16)
    assert (loaded.config.dropout, loaded.dropout.p, loaded.dtype) == (0.3, 0.3, torch.bfloat16)
    with pytest.raises(TypeError, match="no_such_field"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path, no_such_field=1)
