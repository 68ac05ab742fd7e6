from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.methods.catalog import method_config
from polysense.tasks import TaskData
from polysense.training import search as module
from polysense.training.search import Search, search, search_rows, search_space
from polysense.training.settings import TrainingSettings
from tiny_runs import TinyTask

pytest_plugins = ("tiny_runs",)


@pytest.fixture
def run(tmp_path: Path, tiny: dict[str, Any], clip_folder: Path, tiny_task: TinyTask) -> Any:
    def run(trials: int, method: str = "macsc", folder: str = "search", **given: Any) -> Search:
        towers = {"image": str(clip_folder)}
        return search(
            tiny_task.load(), tiny_task.defaults, method_config(method), tiny["backbone"], towers, trials,
            tmp_path / folder, given=given, store=False, progress=False,
        )  # fmt: skip

    return run


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSettings]:
    """Training whose score tells how near a learning rate of 3e-3 is; the settings of each trial."""
    seen: list[TrainingSettings] = []

    def train(
        rows: TaskData, method: Any, backbone: str, processor: Any, settings: TrainingSettings, *_: Any, **__: Any
    ):
        seen.append(settings)
        if settings.learning_rate > 4e-3:
            raise PolysenseError("training diverged")
        return settings

    def scored(settings: TrainingSettings, rows: TaskData, processor: Any) -> dict[str, float]:
        assert set(rows.splits) == {"train", "validation"}
        return {"validation": 1 - abs(settings.learning_rate - 3e-3) * 100}

    monkeypatch.setattr(module, "fine_tune", train)
    monkeypatch.setattr(module, "score_splits", scored)
    return seen


def test_a_search_begins_with_the_defaults_and_gives_the_best(run, made_up, tiny_task):
    found = run(12)
    assert len(found.trials) == len({settings.learning_rate for settings in made_up}) == 12
    first = found.trials[0]
    assert first["settings"] == {
        "learning_rate": pytest.approx(1e-3), "method_learning_rate": pytest.approx(1e-3), "epochs": 1, "dropout": 0.1
    }  # fmt: skip
    assert first["options"] == {"weight": pytest.approx(0.2)}
    scores = [trial["score"] for trial in found.trials]
    best = scores.index(max(score for score in scores if score is not None))
    assert found.score == scores[best] > scores[0]
    assert (found.settings, found.options) == (found.trials[best]["settings"], found.trials[best]["options"])
    failed = [trial for trial in found.trials if trial["score"] is None]
    assert failed and all(trial["error"] == "training diverged" for trial in failed)
    assert {1e-3 / 5 <= s.learning_rate <= 5e-3 and 1 <= s.epochs <= 2 and s.seed == 0 for s in made_up} == {True}
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_a_search_that_stops_goes_on_with_the_trials_it_would_have_had(run, made_up, monkeypatch):
    whole = run(8)
    train, calls = module.fine_tune, []

    def stop(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) in (1, 4):
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(module, "fine_tune", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(8, folder="stopped")
    again = run(8, folder="stopped")
    assert len(calls) == 8 + 2

    def told(found: Search) -> list[Any]:
        return [(trial["settings"], trial["options"], trial["score"]) for trial in found.trials]

    assert told(again) == told(whole) and again.settings == whole.settings
    assert run(8, folder="stopped").trials == again.trials and len(calls) == 10
    assert len(run(9, folder="stopped").trials) == 9 and len(calls) == 11


def test_a_lock_that_a_killed_search_left_holds_nobody_up(run, made_up, tmp_path, monkeypatch):
    """Optuna's own, in a folder whose path is relative: from there its link would lead nowhere."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / f"{module.JOURNAL}.lock").symlink_to(Path("search") / module.JOURNAL)
    monkeypatch.chdir(tmp_path)
    values: list[float] = []

    def work() -> None:
        with module._study(Path("search"), "name") as study:
            study.tell(study.ask(), 0.5)
            values.extend(trial.value for trial in study.trials)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert values == [0.5]


def test_what_is_given_is_not_searched(run, made_up):
    found = run(3, learning_rate=2e-3, epochs=4)
    assert {(s.learning_rate, s.epochs) for s in made_up} == {(2e-3, 4)}
    assert set(found.settings) == {"method_learning_rate", "dropout"}


def test_another_question_is_another_search(run, made_up):
    run(2)
    run(2, method="mpb")
    run(2, k=3)
    assert len(made_up) == 6
    run(2)
    assert len(made_up) == 6


def test_the_space():
    base = TrainingSettings(learning_rate=1e-4, method_learning_rate=1e-3, epochs=12)
    space = search_space(base, method_config("macsc"), {})
    assert (space["method_learning_rate"].low, space["method_learning_rate"].high) == (2e-4, 5e-3)
    assert (space["epochs"].low, space["epochs"].high, space["weight"].default) == (6, 24, 0.2)
    assert "weight" not in search_space(base, method_config("mpb"), {})
    assert "weight" not in search_space(base, method_config("macsc").with_options({"weight": 0.5}), {})
    assert set(search_space(base, method_config("text"), {"dropout": 0.1})) == {
        "learning_rate", "method_learning_rate", "epochs"
    }  # fmt: skip


def test_trials_are_scored_on_validation_rows_where_there_are_tests(tiny_task):
    data = tiny_task.load()
    rows, said = search_rows(data, 0)
    assert {n: s["text"][:] for n, s in rows.splits.items()} == {
        n: data.splits[n]["text"][:] for n in ("train", "validation")
    }
    assert said == "the validation split (10 rows)"


@pytest.mark.parametrize("kept", [("train", "validation"), ("train", "coda_test"), ("train",)])
def test_else_on_training_rows_that_trials_do_not_train_on(tiny_task, kept):
    data = tiny_task.load()
    alone = replace(data, splits={name: data.splits[name] for name in kept})
    rows, said = search_rows(alone, 0)
    train, held = (list(rows.splits[name]["text"][:]) for name in ("train", "validation"))
    assert len(held) == 2 and sorted(train + held) == sorted(data.splits["train"]["text"][:])
    assert said == "2 of 24 training rows, which the trials did not train on"
    assert search_rows(alone, 0)[0].splits["validation"]["text"][:] == held
    other = replace(alone, kind="generation")
    assert len(search_rows(other, 1)[0].splits["validation"]) == 2


def test_a_second_validation_split_is_no_test(tiny_task):
    data = tiny_task.load()
    splits = {name: data.splits[name] for name in ("train", "validation")}
    splits["validation_mismatched"] = data.splits["coda_test"]
    assert "training rows" in search_rows(replace(data, splits=splits), 0)[1]


def test_a_real_search(run):
    found = run(2)
    assert len(found.trials) == 2 and all(0 <= trial["score"] <= 1 for trial in found.trials)
    assert found.rows == "the validation split (10 rows)"


@pytest.mark.parametrize("trials", [0, -1])
def test_no_trials_are_refused(run, trials):
    with pytest.raises(PolysenseError, match="1 trial or more"):
        run(trials)


def test_defaults_that_fail_end_the_search(run, made_up):
    with pytest.raises(PolysenseError, match="diverged"):
        run(3, learning_rate=5e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_fails_its_trial_and_no_other(run, made_up, monkeypatch, bad):
    """Not even the first: other settings may do better."""
    scored = module.score_splits

    def sometimes(settings: TrainingSettings, *rest: Any) -> dict[str, float]:
        return {"validation": bad} if len(made_up) % 2 else scored(settings, *rest)

    monkeypatch.setattr(module, "score_splits", sometimes)
    found = run(6)
    assert [trial["score"] is None for trial in found.trials][:2] == [True, False] and len(made_up) == 6
    assert found.trials[0]["error"] == f"the score is {bad}"
    assert found.score == max(trial["score"] for trial in found.trials if trial["score"] is not None)
    monkeypatch.setattr(module, "score_splits", lambda *_: {"validation": bad})
    with pytest.raises(PolysenseError, match=f"all 2 trials failed; the first: the score is {bad}"):
        run(2, folder="other")


def test_where_texts_are_written_no_regulariser_is_weighed():
    base, method = TrainingSettings(), method_config("macsc")
    assert "weight" in search_space(base, method, {}, "span")
    assert "weight" not in search_space(base, method, {}, "generation")
