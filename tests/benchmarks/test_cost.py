from __future__ import annotations

import pytest
from benchmarks.growth.cost import EPOCHS, reading_hours, table, training_hours, weights


def test_weights_are_those_of_bert_base_and_clip() -> None:
    """Of the layers, without biases: 85M of BERT-base's 110M parameters, 38M of the 63M of CLIP's text part."""
    assert weights(12, 768) == pytest.approx(85e6, rel=0.01)
    assert weights(12, 512) == pytest.approx(38e6, rel=0.01)


def test_a_store_costs_one_reading_whatever_is_run() -> None:
    alone, stored, packed, padded = (float(row["5 seeds"]) for row in table())
    assert alone < stored < packed < padded
    assert stored == pytest.approx(5 * (training_hours("MaCSC") + training_hours("MASE")) + reading_hours(), abs=0.05)
    assert packed - stored == pytest.approx((10 * EPOCHS - 1) * reading_hours(), abs=0.1)
