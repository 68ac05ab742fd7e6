"""The E-steps of a run: when they happen, what they read, what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.models import PolysenseForSequenceClassification
from polysense.training import train
from polysense.training.e_step import EStep, e_step, e_step_moments
from polysense.training.predict import Predictor

pytest_plugins = ("tiny_runs",)


@pytest.fixture(scope="module")
def mase(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("mase") / "model"
    return folder, train(folder, **{**tiny, "method": "mase", "epochs": 4, "batch_size": 4, "kind": "classification"})


def test_ten_e_steps_between_eleven_m_steps() -> None:
    assert e_step_moments(110, 10) == {10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
    assert e_step_moments(5, 10) == {1, 2, 3, 4}
    assert e_step_moments(1, 10) == set()


def test_z_is_estimated_ten_times_kept_with_the_model_logged_and_drawn(mase: tuple[Path, dict[str, Any]]) -> None:
    folder, results = mase
    assert len(results["e_steps"]) == 10
    for e in results["e_steps"]:
        assert set(e) == {"step", "z", "information", "seconds"}
        assert sum(e["z"].values()) == pytest.approx(1, abs=1e-3)
        total = sum(e["information"].values())
        if total > 0.01:
            assert all(e["z"][m] == pytest.approx(e["information"][m] / total, abs=0.01) for m in e["z"])
    assert results["e_steps"][-1]["z"] == pytest.approx(results["weights"]["z"], abs=1e-3)
    model = PolysenseForSequenceClassification.from_pretrained(folder)
    assert model.combination.weights() == pytest.approx(results["weights"]["z"])
    assert (folder / "weights.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_weights(
    mase: tuple[Path, dict[str, Any]], tiny: dict[str, Any], tmp_path: Path
) -> None:
    again = train(tmp_path / "m", **{**tiny, "method": "mase", "epochs": 4, "batch_size": 4, "kind": "classification"})
    assert again["weights"] == mase[1]["weights"]
    assert again["scores"] == mase[1]["scores"]


def test_an_e_step_changes_z_and_nothing_else(mase: tuple[Path, dict[str, Any]]) -> None:
    predictor = Predictor.load(mase[0])
    model, processor = predictor.model, predictor.processor
    texts = ["the red cat sits on the mat", "a dog", "the yellow bird sings", ""]
    inputs = processor(texts)
    inputs["labels"] = torch.tensor([0, 1, 0, 1])
    model.combination.update({"text": 1.0, "image": 30.0})
    with torch.no_grad():
        expected = model.combination.estimate(model(**inputs).modality_logits, inputs["labels"])
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    information = e_step(model, model.combination, [inputs])
    assert model.training
    assert torch.equal(random, torch.get_rng_state())
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["combination.z"]
    assert information == pytest.approx(expected, abs=1e-5)


def test_other_methods_have_no_e_step(tiny: dict[str, Any], tmp_path: Path) -> None:
    results = train(tmp_path / "m", **{**tiny, "kind": "classification"})
    assert results["e_steps"] == []
    assert not (tmp_path / "m" / "weights.png").exists()


@pytest.mark.parametrize("tempered", [True, False])
def test_training_that_diverges_says_so(tiny: dict[str, Any], tmp_path: Path, tempered: bool) -> None:
    given = {**tiny, "method": "mase", "kind": "classification", "epochs": 2, "batch_size": 4}
    with pytest.raises(PolysenseError, match=r"training diverged .*: lower the learning rate"):
        train(tmp_path / "m", **given, learning_rate=1e30, options={"tempered": tempered})


def test_a_run_that_goes_on_has_the_same_e_steps(
    mase: tuple[Path, dict[str, Any]], tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**tiny, "method": "mase", "epochs": 4, "batch_size": 4, "kind": "classification"}
    original = EStep.on_step_end

    def stop(self: EStep, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == state.max_steps * 3 // 5:
            raise KeyboardInterrupt
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(EStep, "on_step_end", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "m", **given)
    monkeypatch.setattr(EStep, "on_step_end", original)
    results = train(tmp_path / "m", **given, resume=True)
    assert results["weights"] == mase[1]["weights"]
    assert results["scores"] == mase[1]["scores"]
    steps = [{**e, "seconds": 0} for e in results["e_steps"]]
    assert steps == [{**e, "seconds": 0} for e in mase[1]["e_steps"]]
