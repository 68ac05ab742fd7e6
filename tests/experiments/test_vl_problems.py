"""What is trained and tested on in a study: published data by folds, a world's parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polysense.errors import PolysenseError
from polysense.experiments import vl_problems
from polysense.experiments.vl_problems import FOLDS, check_owners, check_questions, corpus_problems, world_problems
from polysense.vision_language.corpora.coco_mini import CocoMini
from polysense.vision_language.corpora.corpus import Corpus
from polysense.vision_language.examples import Caption, Entailment, Expression, Question
from polysense.vision_language.region_files import open_regions, write_regions
from vision_language.data_folder import regions_of

pytest_plugins = ("vision_language.data_folder",)

PICTURES = [f"p{i}" for i in range(12)]
CAPTIONS = [Caption(p, f"{p} {k}") for p in PICTURES for k in range(3)]
PAIRS = [Entailment(f"{p}{k}", p, "a cat", "neutral") for p in PICTURES for k in range(2)]
EXPRESSIONS = [Expression(f"{p}{k}", p, "the cat", (0, 0, 1, 1)) for p in PICTURES for k in range(2)]
# A sentence's pictures are split between dev and test here, which a fold has to mend.
SENTENCES = [
    Question(f"{i}-{k}", f"p{(i + 5 * k) % 12}", f"sentence {i}", ["true"] * 10) for i in range(12) for k in range(4)
]
EASY = {
    part: [Question(f"{part}{i}", p, "what?", ["red"] * 10) for i, p in enumerate(PICTURES)]
    for part in ("train", "test")
}
LOADERS = ("easy_vqa", "nlvr", "flickr8k", "snli_ve", "coco_mini")

Publish = Callable[..., None]


def forget() -> None:
    for name in LOADERS:
        getattr(vl_problems, f"_{name}").cache_clear()


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publish]:
    """Puts made corpora in place of the published ones; `regions` names their file."""

    def put(name: str = "found-0", **changed: Any) -> None:
        file = tmp_path / f"{name}.h5"
        write_regions(file, ((p, regions_of([("red", "cat")])) for p in PICTURES))
        regions = open_regions(file)
        made = {
            "easy_vqa": Corpus(changed.get("easy_vqa", EASY), regions),
            "nlvr": Corpus({"dev": SENTENCES[::2], "test": SENTENCES[1::2]}, regions),
            "flickr8k": Corpus({"all": changed.get("flickr8k", CAPTIONS)}, regions),
            "snli_ve": Corpus({"all": PAIRS}, regions),
            "coco_mini": CocoMini(tuple(CAPTIONS), tuple(EXPRESSIONS), regions),
        }
        for corpus in LOADERS:
            monkeypatch.setattr(vl_problems, f"load_{corpus}", lambda corpus=corpus: made[corpus])
        forget()

    put()
    yield put
    forget()


@pytest.mark.parametrize(
    ("name", "group", "everything"),
    [
        ("flickr8k", lambda e: e.picture, CAPTIONS), ("snli_ve", lambda e: e.picture, PAIRS),
        ("coco_mini", lambda e: e.picture, EXPRESSIONS), ("nlvr", lambda e: e.text, SENTENCES),
    ],
)  # fmt: skip
def test_folds_share_no_picture_or_sentence_and_together_are_all(publish, name, group, everything):
    (problem,) = corpus_problems([name], {})
    tested: list[Any] = []
    for seed in range(FOLDS):
        splits = problem.splits(seed)
        assert set(splits) == {"train", "test"}
        train, test = splits["train"].examples, splits["test"].examples
        assert test and not {group(e) for e in train} & {group(e) for e in test}
        assert len(train) + len(test) == len(everything)
        tested += test
        assert list(problem.splits(seed + FOLDS)["test"].examples) == list(test)
    assert sorted(map(repr, tested)) == sorted(map(repr, everything))
    assert "only a guide" in problem.note and problem.note.startswith(f"{name}: ")


def test_data_with_a_test_part_keep_it(publish):
    (problem,) = corpus_problems(["easy_vqa"], {})
    for seed in (0, 1):
        splits = problem.splits(seed)
        assert {name: list(split.examples) for name, split in splits.items()} == EASY
    assert problem.note == ""


def test_examples_and_regions_are_in_the_digest(publish):
    def digest(name: str) -> str:
        return corpus_problems([name], {})[0].digest

    flickr8k, easy_vqa = digest("flickr8k"), digest("easy_vqa")
    forget()
    assert (digest("flickr8k"), digest("easy_vqa")) == (flickr8k, easy_vqa) and flickr8k != easy_vqa
    publish(flickr8k=[replace(CAPTIONS[0], text="another"), *CAPTIONS[1:]])
    assert digest("flickr8k") != flickr8k and digest("easy_vqa") == easy_vqa
    publish(easy_vqa={**EASY, "test": [replace(EASY["test"][0], answers=["blue"] * 10), *EASY["test"][1:]]})
    assert digest("easy_vqa") != easy_vqa
    publish("found-1")
    assert digest("flickr8k") != flickr8k and digest("easy_vqa") != easy_vqa


def test_unknown_data_are_one_line_before_any_are_read(publish, monkeypatch):
    monkeypatch.setattr(vl_problems, "load_nlvr", lambda: pytest.fail("read"))
    with pytest.raises(PolysenseError, match=r"unknown data 'flickr8'.*flickr8k"):
        corpus_problems(["nlvr", "flickr8"], {})


def test_a_world_has_the_same_parts_for_every_seed(vl_data):
    problem, other = world_problems(vl_data, ["rec", "vqa"], {"steps": 3})
    assert (problem.name, other.name, problem.note) == ("rec", "vqa", "") and problem.run_settings(1).steps == 3
    first = problem.splits(0)
    assert set(first) == {"train", "test"} and problem.splits(1) is first
    assert {e.picture[:4] for e in first["test"].examples} == {"test"}
    assert {e.picture[:5] for e in first["train"].examples} == {"train"}


def test_no_world_and_an_unknown_task_are_one_line(tmp_path, vl_data):
    with pytest.raises(PolysenseError, match="no such folder"):
        world_problems(tmp_path, ["vqa"], {})
    with pytest.raises(PolysenseError, match="unknown task 'vq'"):
        world_problems(vl_data, ["vq"], {})


def test_new_scenes_of_seen_kinds_are_scored_where_there_are_some(vl_data, tmp_path):
    world = shutil.copytree(vl_data, tmp_path / "world")
    shutil.copytree(world / "test", world / "test_seen")
    (before,), (after,) = world_problems(vl_data, ["vqa"], {}), world_problems(world, ["vqa"], {})
    assert list(before.splits(0)) == ["train", "test"] and list(after.splits(0)) == ["train", "test", "test_seen"]
    assert before.digest != after.digest


def test_a_problem_may_have_settings_of_its_own(vl_data):
    given = {"steps": 7, "vqa.steps": 9, "vqa.batch_size": 3}
    vqa, rec = world_problems(vl_data, ["vqa", "rec"], given)
    assert vqa.settings == {"steps": 9, "batch_size": 3} and rec.settings == {"steps": 7}
    check_owners(given, ["vqa", "rec"])
    with pytest.raises(PolysenseError, match=r"setting vqa\.steps: 'vqa' is not compared; compared are rec"):
        check_owners(given, ["rec"])


def test_methods_are_for_questions():
    check_questions(["vqa", "nlvr", "easy_vqa"])
    for name in ("rec", "nlvr2", "flickr8k"):
        with pytest.raises(PolysenseError, match=f"{name} has no questions"):
            check_questions(["vqa", name])
