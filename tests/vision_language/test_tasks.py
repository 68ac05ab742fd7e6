from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS
from polysense.vision_language.annotations import write_refcoco
from polysense.vision_language.annotations.snli_ve import LABELS
from polysense.vision_language.answers import AnswerVocabulary
from polysense.vision_language.examples import Caption, Entailment, Expression, Question, Statement
from polysense.vision_language.fine_tuning import evaluate, fine_tune, load_start, read_split, read_splits, train
from polysense.vision_language.models.downstream import NO_REGION
from polysense.vision_language.regions import Regions
from polysense.vision_language.settings import RunSettings
from polysense.vision_language.tasks import TASKS, Split, get_task
from polysense.vision_language.tasks.entailment import VisualEntailment
from polysense.vision_language.tasks.questions import QuestionAnswering, answer_names
from polysense.vision_language.tasks.reasoning import VisualReasoning
from polysense.vision_language.tasks.referring import ReferringExpressions, best_region
from vision_language.data_folder import SIZE, box_of, model_config, processor_of, regions_of, scenes

pytest_plugins = ("vision_language.data_folder",)

CAT, DOG, MAT = ("red", "cat"), ("yellow", "dog"), ("red", "mat")
PICTURES = {"p": regions_of([CAT, DOG]), "q": regions_of([MAT]), "empty": regions_of([])}


def one_hot(number: int, width: int) -> torch.Tensor:
    return torch.eye(width)[number]


def test_every_task_reads_its_files(vl_data):
    shown = scenes("train", 24)
    for name, kind, count in (
        ("vqa", Question, 48), ("nlvr2", Statement, 24), ("snli-ve", Entailment, 24),
        ("rec", Expression, sum(map(len, shown.values()))), ("retrieval", Caption, 48),
    ):  # fmt: skip
        task = get_task(name)
        splits = read_splits(vl_data, task)
        assert list(splits) == ["train", "validation", "test"]
        examples = splits["train"].examples
        assert len(examples) == count and {type(e) for e in examples} == {kind}
        for example in examples:
            assert isinstance(task.text(example), str)
            assert len(task.pictures(example)) == (2 if name == "nlvr2" else 1)
            assert all(list(splits["train"].of(p).tags) == [n for _, n in shown[p]] for p in task.pictures(example))


def test_unknown_tasks_and_folders_are_said(vl_data, tmp_path):
    with pytest.raises(PolysenseError, match=r"unknown task 'vqaa'.*vqa.*the tasks are vqa, nlvr2, snli-ve, rec, ret"):
        get_task("vqaa")
    with pytest.raises(PolysenseError, match="none of train, validation, test, test_seen is a folder in it"):
        read_splits(tmp_path, get_task("vqa"))


@pytest.mark.parametrize(
    ("task", "file"),
    [
        ("vqa", "questions.json"), ("nlvr2", "statements.jsonl"), ("snli-ve", "entailments.jsonl"),
        ("rec", "references.json"), ("rec", "instances.json"), ("retrieval", "captions.json"), ("vqa", "regions.h5"),
    ],
)  # fmt: skip
def test_a_missing_file_is_one_line(vl_data, tmp_path, task, file):
    folder = shutil.copytree(vl_data / "test", tmp_path / "test")
    (folder / file).unlink()
    with pytest.raises(PolysenseError, match=file) as error:
        read_split(folder, get_task(task))
    assert "\n" not in str(error.value)


def test_examples_without_labels_or_regions_are_said_before_any_training(vl_data, tmp_path):
    folder = shutil.copytree(vl_data / "test", tmp_path / "test")
    (folder / "annotations.json").unlink()
    for name in ("statements.jsonl", "entailments.jsonl"):
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        del rows[3]["label" if name == "statements.jsonl" else "gold_label"]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for task, count in (("vqa", "16 of 16"), ("nlvr2", "1 of 8"), ("snli-ve", "1 of 8")):
        with pytest.raises(PolysenseError, match=f"{count} examples of {task} have no label"):
            read_split(folder, get_task(task))
    with pytest.raises(PolysenseError, match=r"picture test0 has no regions \(16 mentions have none\)"):
        read_split(folder, get_task("retrieval"), vl_data / "train" / "regions.h5")
    (folder / "captions.json").write_text('{"annotations": []}')
    with pytest.raises(PolysenseError, match="there is no example of retrieval in it"):
        read_split(folder, get_task("retrieval"))


def test_an_unknown_label_is_one_line(vl_data, tmp_path):
    folder = shutil.copytree(vl_data / "test", tmp_path / "test")
    row = json.loads((folder / "entailments.jsonl").read_text().splitlines()[0])
    (folder / "entailments.jsonl").write_text(json.dumps({**row, "gold_label": "perhaps"}) + "\n")
    with pytest.raises(PolysenseError, match=r"entailments.jsonl, line 1.*'perhaps'"):
        read_split(folder, get_task("snli-ve"))


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.text_alone])
def test_without_looking_every_region_is_hidden(vl_data, name):
    task = get_task(name)
    for look in (True, False):
        split = read_split(vl_data / "test", task, look=look)
        inputs = task.collate(split.examples[:5], split, processor_of())
        assert bool(inputs["region_mask"].any()) == look
        assert (inputs["region_features"].shape[1] > 0) == look
        assert inputs["input_ids"].shape[0] == 5


def test_text_alone_is_refused_where_it_has_nothing_to_choose_from(vl_data):
    assert {name for name, task in TASKS.items() if not task.text_alone} == {"rec", "retrieval"}
    for name in TASKS:
        get_task(name).check_look(True)
    get_task("vqa").check_look(False)
    for name in ("rec", "retrieval"):
        with pytest.raises(PolysenseError, match=f"{name}: without pictures there is nothing to choose from"):
            get_task(name).check_look(False)
        with pytest.raises(PolysenseError, match="nothing to choose from"):
            read_split(vl_data / "test", get_task(name), look=False)


def test_a_split_reads_a_text_once(monkeypatch):
    split, processor = Split([], PICTURES), processor_of()
    first = split.tokens("a cat", processor)
    monkeypatch.setattr(processor, "tokenize", lambda text: pytest.fail("read again"))
    assert split.tokens("a cat", processor) is first


# VQA.


def test_vqa_answers_are_the_training_questions_and_labels_are_soft():
    questions = [
        Question("1", "p", "a", ["The red"] * 4 + ["yellow"] * 6),
        Question("2", "p", "b", ["yellow"] * 10),
        Question("3", "q", "c", ["Red!"] * 2 + ["blue"] * 1 + ["no"] * 7),
    ]
    task = QuestionAnswering()
    config = model_config(**task.configure(questions))
    assert answer_names(config) == ["yellow", "no"] and config.num_labels == 2
    labels = task.labels(questions, Split(questions, PICTURES), config)["labels"]
    np.testing.assert_allclose(labels, [[1, 0], [1, 0], [0, 1]])
    other = Question("4", "p", "d", ["no"] * 2 + ["yellow"] + ["blue"] * 7)
    np.testing.assert_allclose(task.labels([other], Split([other], PICTURES), config)["labels"], [[0.3, 0.6]])
    assert answer_names(model_config(**QuestionAnswering(min_count=2).configure(questions))) == ["yellow"]
    assert answer_names(model_config(**QuestionAnswering(most=1).configure(questions))) == ["yellow"]
    with pytest.raises(PolysenseError, match="lower min_count"):
        QuestionAnswering(min_count=5).configure(questions)


def test_vqa_answers_are_normalised_once_not_at_every_step(monkeypatch):
    made = []
    monkeypatch.setattr(
        "polysense.vision_language.answers.AnswerVocabulary.__init__",
        lambda self, names, made=made, start=AnswerVocabulary.__init__: made.append(names) or start(self, names),
    )
    question = Question("1", "p", "a", ["later"] * 10)
    task, split = QuestionAnswering(), Split([question], PICTURES)
    for names in (["once", "later"], ["later", "once"]):
        config = model_config(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
        for _ in range(3):
            assert task.labels([question], split, config)["labels"].tolist() == [[n == "later" for n in names]]
    assert len(made) == 2


def test_vqa_scores_by_people_and_by_kind():
    questions = [
        Question("1", "p", "a", ["yes"] * 8 + ["no"] * 2, "yes/no"),
        Question("2", "p", "b", ["no"] * 10, "yes/no"),
        Question("3", "q", "c", ["2"] * 10, "number"),
        Question("4", "q", "d", ["two"] * 9 + ["3"], ""),
    ]
    names = ["yes", "no", "2"]
    config = model_config(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    chosen = ["no", "no", "yes", "2"]  # 0.6, 1, 0, and "two" is 2 where answers differ
    outputs = [one_hot(names.index(name), 3) for name in chosen]
    scores = QuestionAnswering().score(Split(questions, PICTURES), outputs, config)
    assert scores == {
        "accuracy": pytest.approx((0.6 + 1 + 0 + 1) / 4),
        "accuracy/number": 0,
        "accuracy/yes/no": pytest.approx(0.8),
    }


# NLVR2 and SNLI-VE.


def test_reasoning_scores_accuracy_and_consistency():
    statements = [
        Statement(identity, "p", "q", "t", label)
        for identity, label in (("dev-1-0-0", True), ("dev-1-1-0", False), ("dev-2-0-0", True), ("dev-2-1-0", True))
    ]
    task, split = VisualReasoning(), Split(statements, PICTURES)
    assert task.labels(statements, split, model_config())["labels"].tolist() == [1, 0, 1, 1]
    outputs = [one_hot(i, 2) for i in (1, 0, 1, 0)]
    assert task.score(split, outputs, model_config()) == {"accuracy": 0.75, "consistency": 0.5}
    plain = Split([replace(s, identity=s.identity.replace("-", "")) for s in statements], PICTURES)
    assert task.score(plain, outputs, model_config()) == {"accuracy": 0.75}


def test_reasoning_gives_left_and_right_in_turn():
    statements = [Statement("1", "p", "q", "cat", True), Statement("2", "q", "empty", "dog", False)]
    inputs = VisualReasoning().collate(statements, Split(statements, PICTURES), processor_of())
    assert inputs["input_ids"].shape[0] == 2
    assert inputs["region_mask"].tolist() == [[True, True], [True, False], [True, False], [False, False]]
    np.testing.assert_array_equal(inputs["region_features"][1, 0], PICTURES["q"].features[0])


def test_entailment_labels_and_scores():
    examples = [Entailment(str(i), "p", "t", label) for i, label in enumerate(("neutral", "entailment", "neutral"))]
    task, split = VisualEntailment(), Split(examples, PICTURES)
    config = model_config(**task.configure(examples))
    assert [config.id2label[i] for i in range(3)] == list(LABELS)
    assert task.labels(examples, split, config)["labels"].tolist() == [1, 2, 1]
    outputs = [one_hot(LABELS.index(name), 3) for name in ("neutral", "neutral", "contradiction")]
    assert task.score(split, outputs, config) == {"accuracy": pytest.approx(1 / 3)}


# Referring expressions, with boxes of a detector.


def published(folder: Path, name: str, splits: tuple[str, ...]) -> Path:
    """References with one expression a split, called after it."""
    folder.mkdir(parents=True, exist_ok=True)
    expressions = {split: [Expression(str(i), "p", split, box_of(0))] for i, split in enumerate(splits)}
    write_refcoco(folder / name, folder / "instances.json", expressions, {"p": SIZE}, {"p": [(box_of(0), "cat")]})
    return folder


def told(folder: Path) -> list[str]:
    return [example.text for example in ReferringExpressions().read(folder)]


@pytest.mark.parametrize("name", ["refs(unc).p", "refs(google).p", "references.p", "references.json"])
def test_a_file_of_several_splits_gives_those_of_its_folder(tmp_path, name):
    for part, own in (("train", ["train"]), ("validation", ["val"]), ("test", ["testA", "testB"])):
        assert told(published(tmp_path / part, name, ("testA", "train", "val", "testB"))) == own
    with pytest.raises(PolysenseError, match=r"of its splits 'train', 'val' none belongs into a folder 'test'"):
        told(published(tmp_path / "test", name, ("train", "val")))


def test_a_file_of_one_split_is_taken_whole(tmp_path):
    assert told(published(tmp_path / "test", "references.json", ("train",))) == ["train"]


def test_references_are_one_file(tmp_path):
    with pytest.raises(PolysenseError, match=r"there are no references; give one of references.json, references.p and"):
        told(tmp_path)
    published(tmp_path, "refs(unc).p", ("train",))
    published(tmp_path, "refs(google).p", ("train",))
    with pytest.raises(PolysenseError, match=r"there are refs\(google\).p, refs\(unc\).p; give one of"):
        told(tmp_path)


def shifted(share: float) -> tuple[float, float, float, float]:
    """The first thing's box, moved by a share of its width."""
    x1, y1, x2, y2 = box_of(0)
    return x1 + share * 10, y1, x2 + share * 10, y2


def detected() -> dict[str, Regions]:
    found = regions_of([CAT, DOG, MAT])
    boxes = np.array([shifted(0.9), shifted(0.3), shifted(0.2)], dtype=np.float32)
    return {"p": Regions(found.features, boxes, *SIZE, found.tags), "empty": regions_of([])}


def test_the_region_of_an_expression_is_the_one_that_meets_it_best():
    boxes = detected()["p"].boxes  # intersections over union with the first box: 1/19, 7/13, 8/12
    assert best_region(Expression("1", "p", "t", box_of(0)), boxes) == 2
    assert best_region(Expression("1", "p", "t", box_of(0)), boxes[:2]) == 1
    assert best_region(Expression("1", "p", "t", box_of(0)), boxes[:1]) == NO_REGION
    assert best_region(Expression("1", "p", "t", box_of(0)), boxes[:0]) == NO_REGION


def test_an_expression_that_no_region_meets_is_left_out_of_training_and_scored_as_wrong():
    expressions = [Expression(str(i), p, "t", b) for i, (p, b) in enumerate(
        (("p", box_of(0)), ("p", box_of(3)), ("empty", box_of(0)), ("p", shifted(0.9)))
    )]  # fmt: skip
    task, split = ReferringExpressions(), Split(expressions, detected())
    usable, left_out = task.usable(split)
    assert [e.identity for e in usable.examples] == ["0", "3"]
    assert left_out == {"no region meets the object": 2} and usable.regions is split.regions
    assert task.labels(expressions, split, model_config())["labels"].tolist() == [2, NO_REGION, NO_REGION, 0]
    outputs = [one_hot(i, 3) for i in (1, 2, 0, 1)]  # right by 7/13, wrong, nothing to choose, 4/16
    assert task.score(split, outputs, model_config()) == {"accuracy": 0.25}


def test_regions_that_the_model_does_not_read_are_no_candidates():
    expressions = [Expression("0", "p", "t", box_of(0)), Expression("1", "p", "t", shifted(0.9))]
    task, split = ReferringExpressions(), Split(expressions, detected(), most=1)
    assert task.labels(expressions, split, model_config())["labels"].tolist() == [NO_REGION, 0]
    assert task.usable(split)[1] == {"no region meets the object": 1}


def test_a_model_of_few_regions_learns_from_pictures_of_many(vl_data, vl_start, tmp_path):
    start = shutil.copytree(vl_start, tmp_path / "start")
    file = start / "cmal_processor.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_regions": 1}))
    (start / CHECKSUMS).unlink()
    results = train(tmp_path / "m", "rec", vl_data, start, steps=2, batch_size=64, learning_rate=1e-3, progress=False)
    things = sum(len(t) for t in scenes("train", 24).values())
    assert results["left_out"] == {"no region meets the object": things - 24}
    assert evaluate(tmp_path / "m", vl_data / "test", progress=False)["scores"] == results["scores"]["test"]


def test_the_processor_cuts_what_a_split_shows():
    """So that no step copies and checks the regions of each picture anew."""
    split = Split([], detected(), most=1)
    assert split.of("p").features is split.regions["p"].features and len(split.boxes("p")) == 1
    assert processor_of(max_regions=1).region_inputs([split.of("p")])["region_mask"].tolist() == [[True]]


def test_nothing_to_learn_from_is_an_error(vl_data, vl_start, tmp_path):
    task = ReferringExpressions()
    split = Split([Expression("0", "empty", "t", box_of(0))], detected())
    with pytest.raises(PolysenseError, match=r"rec: no training example can be learnt from.*no region meets"):
        fine_tune(
            task, {"train": split}, lambda e: load_start(vl_start, task, e), RunSettings(), tmp_path, progress=False
        )


def test_predictions_that_are_no_numbers_are_said(vl_models, vl_data, tmp_path):
    folder = shutil.copytree(vl_models["vqa"], tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    state["head.0.weight"][:] = float("nan")
    save_file(state, Path(folder) / "model.safetensors", metadata={"format": "pt"})
    (folder / CHECKSUMS).unlink()
    with pytest.raises(PolysenseError, match="diverged"):
        evaluate(folder, vl_data / "test", progress=False)
