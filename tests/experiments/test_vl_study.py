from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from polysense.errors import PolysenseError
from polysense.experiments import vl_digest, vl_study
from polysense.experiments.vl_digest import folder_digest, method_identity, source_digest
from polysense.experiments.vl_problems import world_problems
from polysense.experiments.vl_study import Problem, Start, Study
from polysense.vision_language.captions import read_caption_folder, take_share
from polysense.vision_language.fine_tuning import read_splits
from polysense.vision_language.tasks import Split
from polysense.vision_language.tasks.questions import QuestionAnswering
from polysense.vision_language.tasks.referring import ReferringExpressions
from polysense.vision_language.tasks.retrieval import Retrieval
from polysense.vision_language.training import CmalTrainer
from polysense.vision_language.with_method import NO_ANSWER, train_with_method
from vision_language.data_folder import OPTIONS, Stopped, stop_at

pytest_plugins = ("vision_language.data_folder",)

CMAL, CMCL, NONE = Start("cmal", "cmal"), Start("cmcl", "cmcl", share=0.5), Start("none", None)
QUICK = {"steps": 2, "batch_size": 8, "learning_rate": 1e-3}


@pytest.fixture
def study(tmp_path: Path, vl_data: Path, bert_folder: Path) -> Study:
    return Study(vl_data / "train", tmp_path / "cells", QUICK, OPTIONS, str(bert_folder), progress=False)


@pytest.fixture
def problem(vl_data: Path) -> Problem:
    return Problem(
        "rec", ReferringExpressions(), lambda seed: read_splits(vl_data, ReferringExpressions()), QUICK, "digest"
    )


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was computed: ("pretrain", recipe, captions, seed), and ("load" or "fresh", seed)."""
    done: list[tuple[Any, ...]] = []
    pretrain, load, fresh = vl_study.pretrain, vl_study.load_start, vl_study.fresh_start

    def remember(folder: Path, captions: Any, *args: Any, **kwargs: Any) -> Any:
        done.append(("pretrain", kwargs["recipe"], [c.text for c in captions], kwargs["seed"]))
        return pretrain(folder, captions, *args, **kwargs)

    monkeypatch.setattr(vl_study, "pretrain", remember)
    monkeypatch.setattr(vl_study, "load_start", lambda *args: (done.append(("load",)), load(*args))[1])
    monkeypatch.setattr(vl_study, "fresh_start", lambda *args: (done.append(("fresh",)), fresh(*args))[1])
    return done


def test_every_cell_is_scored_once_and_kept(study, problem, work, tmp_path):
    starts, seeds = [CMAL, CMCL, NONE], [0, 1]
    cells = study.run(starts, [problem], seeds)
    assert [(c["start"], c["share"], c["problem"], c["seed"]) for c in cells] == [
        (start.name, start.share if start.recipe else None, "rec", seed) for seed in seeds for start in starts
    ]
    for cell in cells:
        assert cell["metric"] == "accuracy" and set(cell["scores"]) == {"validation", "test"}
        assert all(0 <= scores["accuracy"] <= 1 for scores in cell["scores"].values())
        assert set(cell["rows"]) == {"train", "validation", "test"} and cell["left_out"] == {}
    captions = read_caption_folder(study.captions)[0]
    texts = {1.0: [c.text for c in captions], 0.5: [c.text for c in take_share(captions, 0.5)]}
    assert texts[0.5] == texts[1.0][: len(texts[0.5])]
    assert [entry for entry in work if entry[0] == "pretrain"] == [
        ("pretrain", recipe, texts[share], seed) for seed in seeds for recipe, share in (("cmal", 1.0), ("cmcl", 0.5))
    ]
    assert work.count(("load",)) == 4 and work.count(("fresh",)) == 2  # "none" reads sizes alone
    assert study.pretrained("cmal", 1.0, 1)["settings"]["seed"] == 1

    work.clear()
    assert study.run(starts, [problem], seeds) == cells
    assert replace(study).run(starts[::-1], [problem], seeds) == [c for i in (0, 3) for c in cells[i : i + 3][::-1]]
    assert work == []
    (next(tmp_path.glob("cells/rec-none-1-0-*.json"))).unlink()
    study.run(starts, [problem], seeds)
    assert work == [("fresh",)]


def test_none_starts_from_the_backbone_whatever_was_pre_trained(study, problem):
    """The same score where pre-training went another way."""
    plain = study.run([NONE], [problem], [0])[0]["scores"]
    other = replace(study, pretraining={**QUICK, "learning_rate": 0.5, "steps": 3})
    assert other.run([NONE], [problem], [0])[0]["scores"] == plain


def test_hiding_the_pictures_hides_them(study, problem, vl_data, monkeypatch):
    """Where text alone can be scored, no region is seen; another task has no such cell."""
    seen: list[bool] = []
    of = Split.of
    monkeypatch.setattr(
        Split, "of", lambda self, name: (seen.append(bool(of(self, name).features.any())), of(self, name))[1]
    )
    questions = replace(
        problem, name="vqa", task=QuestionAnswering(), splits=lambda seed: read_splits(vl_data, QuestionAnswering())
    )
    cells = study.run([Start("blind", "cmal", look=False)], [problem, questions], [0])
    assert [c["problem"] for c in cells] == ["vqa"] and seen and not any(seen)


def test_what_a_score_depends_on_is_in_its_key(study, problem, vl_data, tmp_path):
    def key(start: Start = CMAL, problem: Problem = problem, study: Study = study) -> str:
        return study._score_key(start, problem)

    plain = key()
    assert plain == key() == key(study=replace(study, progress=True))
    changed = [
        key(replace(CMAL, look=False)), key(replace(CMAL, recipe="cmcl")), key(replace(CMAL, share=0.5)),
        key(problem=replace(problem, digest="other")), key(problem=replace(problem, settings={**QUICK, "steps": 3})),
        key(problem=replace(problem, name="other")),
        key(problem=replace(problem, task=Retrieval(4))), key(problem=replace(problem, task=Retrieval(5))),
        key(study=replace(study, pretraining={**QUICK, "steps": 3})),
        key(study=replace(study, config={**OPTIONS, "swap": "text"})), key(study=replace(study, backbone="minilm")),
        key(study=replace(study, captions=vl_data / "test")),
    ]  # fmt: skip
    assert len({plain, *changed}) == len(changed) + 1
    copy = shutil.copytree(vl_data / "train", tmp_path / "copy")
    assert folder_digest(copy) == folder_digest(vl_data / "train")
    assert key(study=replace(study, captions=copy)) == plain
    captions = json.loads((copy / "captions.json").read_text())
    captions["annotations"][0]["caption"] = captions["annotations"][0]["caption"][::-1]
    (copy / "captions.json").write_text(json.dumps(captions, ensure_ascii=False))
    assert key(study=replace(study, captions=copy)) != plain


def test_another_process_at_work_is_waited_for(study, problem, work, monkeypatch):
    """A cell whose lock is taken is left alone until it is there."""
    cell = study.run([CMAL], [problem], [0])
    file = next(study.cells.glob("rec-cmal-1-0-*.json"))
    content = file.read_text()
    file.unlink()
    work.clear()
    waits: list[float] = []
    lock = FileLock(f"{file}.lock")
    lock.acquire()

    def other_finishes(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            file.write_text(content)

    monkeypatch.setattr(vl_study.time, "sleep", other_finishes)
    assert study.run([CMAL], [problem], [0]) == cell
    lock.release()
    assert len(waits) == 2 and work == []


def test_a_large_file_counts_whole(tmp_path):
    """A change at the end of 40 MiB that keeps the size."""
    file = tmp_path / "regions.h5"
    file.write_bytes(bytes(40 * 2**20))
    before = folder_digest(tmp_path)
    with file.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"x")
    assert folder_digest(tmp_path) != before


def test_a_backbone_counts_by_its_weights(study, problem, tmp_path, bert_folder):
    other = Path(shutil.copytree(bert_folder, tmp_path / "other"))
    key = study._score_key(CMAL, problem)
    assert replace(study, backbone=str(other))._score_key(CMAL, problem) == key
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert replace(study, backbone=str(other))._score_key(CMAL, problem) != key


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("vision_language/corpora/nlvr.py", True), ("vision_language/data/synonyms.tsv", True),
        ("pictures/colour.py", True), ("training/data.py", True), ("experiments/vl_problems.py", True),
        ("vision_language/with_method.py", True),
        ("new.py", True), ("cli/new.py", False), ("explain/page.py", False), ("alignment/new.py", False),
        ("vision_language/drawing.py", False), ("experiments/vl_report.py", False), ("__pycache__/new.pyc", False),
    ],
)  # fmt: skip
def test_code_and_data_files_count_unless_no_score_depends_on_them(tmp_path, file, counts):
    source_digest.cache_clear()
    place = tmp_path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a = 1")
    before = source_digest(tmp_path)
    place.write_text("a = 2")
    source_digest.cache_clear()
    assert (source_digest(tmp_path) != before) is counts


def test_data_are_digested_once_a_study(study, problem, monkeypatch):
    read: list[Path] = []
    digest = vl_digest.file_digest
    monkeypatch.setattr(vl_digest, "file_digest", lambda file: (read.append(file), digest(file))[1])
    study.run([CMAL, NONE], [problem], [0, 1])
    assert read.count(study.captions / "regions.h5") == 1


@pytest.mark.parametrize("name", ["seed", "output_dir", "recipe", "stepz"])
def test_a_setting_that_a_study_does_not_take_is_one_line(study, problem, name):
    for refused in (lambda: replace(study, pretraining={name: 3}), lambda: replace(problem, settings={name: 3})):
        with pytest.raises(PolysenseError, match=f"(pre-training|fine-tuning rec): .*{name}") as error:
            refused()
        assert "\n" not in str(error.value)


def test_mistakes_show_before_the_first_pre_training(study, problem, work, tmp_path):
    with pytest.raises(PolysenseError, match="unknown recipe 'cmql'"):
        Start("cmql", "cmql")
    for share in (0.0, 1.5, 0.001):
        with pytest.raises(PolysenseError, match="share"):
            study.run([CMAL, replace(CMCL, share=share)], [problem], [0])
    broken = replace(problem, splits=lambda seed: read_splits(tmp_path, ReferringExpressions()))
    with pytest.raises(PolysenseError, match="none of train"):
        study.run([CMAL], [problem, broken], [0])
    with pytest.raises(PolysenseError, match="no such folder"):
        replace(study, captions=tmp_path / "nowhere").run([CMAL], [problem], [0])
    assert work == []


def test_whole_seeds_are_reported_as_they_come(study, problem):
    seen: list[list[tuple[str, int]]] = []
    cells = study.run(
        [CMAL, NONE], [problem], [0, 1], lambda found: seen.append([(c["start"], c["seed"]) for c in found])
    )
    every = [(c["start"], c["seed"]) for c in cells]
    assert seen == [every[:2], every]


def test_one_bar_names_the_cells(study, problem, capsys):
    replace(study, progress=True).run([CMAL], [problem], [0])
    shown = capsys.readouterr().err
    assert "1/1" in shown and "rec cmal 100% seed 0" in shown and "pre-training" not in shown


def test_methods_are_compared_on_questions(study, vl_data, work, tmp_path):
    (vqa,) = world_problems(vl_data, ["vqa"], QUICK)
    starts = [Start(f"cmal+{method}", "cmal", method=method) for method in ("macsc", "text")]
    macsc, text = study.run(starts, [vqa], [0])
    assert (macsc["start"], text["start"]) == ("cmal+macsc", "cmal+text")
    for cell in (macsc, text):
        assert 0 <= cell["scores"]["test"]["accuracy"] <= 1 and cell["metric"] == "accuracy"
        assert set(cell["left_out"]) == {NO_ANSWER}
    assert [entry[0] for entry in work] == ["pretrain"]  # by `with_method`, not with the task's own head
    start = study._folder("cmal", 1.0, 0)
    alone = train_with_method(tmp_path / "m", vl_data, start, "text", progress=False, seed=0, **QUICK)
    assert alone["scores"]["test"] == text["scores"]["test"]


def test_what_a_method_reads_is_in_its_key(study, problem, monkeypatch):
    starts = [Start("cmal+mase", "cmal", method="mase"), CMAL]
    before = [study._score_key(start, problem) for start in starts]
    monkeypatch.setattr(vl_study, "method_identity", lambda method: {"scene_graphs": "another parser"})
    after = [study._score_key(start, problem) for start in starts]
    assert before[0] != after[0] and before[1] == after[1]
    assert {"towers", "reading", "scene_graphs"} == set(method_identity("mase"))
    assert method_identity("text") == {**method_identity("text"), "towers": {}, "scene_graphs": None}


def test_a_method_needs_questions_and_a_pre_trained_model(study, problem):
    with pytest.raises(PolysenseError, match="rec: no questions"):
        study.run([Start("cmal+mase", "cmal", method="mase")], [problem], [0])
    with pytest.raises(PolysenseError, match="method mase: it is compared on a pre-trained model"):
        Start("x", None, method="mase")
    with pytest.raises(PolysenseError, match="unknown method 'maze'"):
        Start("x", "cmal", method="maze")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_damaged_cell_is_named(study, problem, content):
    study.run([CMAL], [problem], [0])
    cell = next(file for file in study.cells.glob("rec-*.json"))
    results = next(study.cells.glob("pretrained-*/results.json"))
    assert study.pretrained("cmal", 1.0, 0)["settings"]["steps"] == QUICK["steps"]
    cell.write_bytes(content)
    results.write_bytes(content)
    with pytest.raises(PolysenseError, match=f"{cell.name} is no finished cell: delete it"):
        study.run([CMAL], [problem], [0])
    with pytest.raises(PolysenseError, match=r"results\.json is not as it was written"):
        study.pretrained("cmal", 1.0, 0)


@pytest.mark.parametrize("damaged", [False, True])
def test_pre_training_that_was_killed_goes_on(study, problem, work, monkeypatch, damaged):
    """But from its beginning, where what is left cannot be gone on with."""
    monkeypatch.setattr("polysense.vision_language.pretraining.CHECKPOINT_STEPS", 1)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(Stopped):
            study.run([CMAL], [problem], [0])
    (checkpoint,) = study.cells.glob("pretrained-*.partial/checkpoint-1")
    if damaged:
        (checkpoint / "model.safetensors").write_bytes(b"")
    steps: list[int] = []
    compute = CmalTrainer.compute_loss
    monkeypatch.setattr(
        CmalTrainer, "compute_loss", lambda t, *a, **k: (steps.append(t.state.global_step), compute(t, *a, **k))[1]
    )
    study.run([CMAL], [problem], [0])
    of_fine_tuning = [0, 1]
    assert steps == [*([0, 1] if damaged else [1]), *of_fine_tuning]
