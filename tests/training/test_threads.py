"""Predictions from several threads at once."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from polysense.explain.explanation import explain
from polysense.training.predict import Predictor
from polysense.training.train import train
from support import sentences

pytest_plugins = ("tiny_runs",)


@pytest.mark.parametrize("method", ["macsc", "mase"])
def test_threads_get_what_one_alone_gets(method: str, tiny: dict[str, Any], tmp_path: Path) -> None:
    trained = tmp_path / "m"
    train(trained, **{**tiny, "method": method})
    texts = [sentences(3, 2 + number % 7, number) for number in range(120)]
    alone = Predictor.load(trained)
    expected = [alone.predict(some) for some in texts]
    shared = Predictor.load(trained)  # which remembers nothing yet
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(shared.predict, texts))
    assert found == expected


def test_a_copy_predicts_by_itself(trained: Path) -> None:
    whole = Predictor.load(trained)
    for copied in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):  # noqa: S301 - our own
        assert copied.predict("a red dog") == whole.predict("a red dog")


VERBS: dict[str, Callable[[Predictor, list[str]], Any]] = {
    "predict": Predictor.predict,
    "scores": Predictor.scores,
    "explain": lambda predictor, texts: explain(predictor, texts[0]),
}


@pytest.mark.parametrize("step", ["look_ahead", "tokenize", "collate"])
@pytest.mark.parametrize("verb", VERBS)
def test_threads_take_turns(trained: Path, verb: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (verb, step) == ("explain", "look_ahead"):
        pytest.skip("it reads one text")
    predictor = Predictor.load(trained)
    inside: list[int] = []
    most = 0
    whole = getattr(predictor.processor, step)

    def counted(*inputs: Any) -> Any:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        time.sleep(0.01)
        inside.pop()
        return whole(*inputs)

    monkeypatch.setattr(predictor.processor, step, counted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(partial(VERBS[verb], predictor), [[f"dog {number}"] for number in range(12)]))
    assert most == 1
