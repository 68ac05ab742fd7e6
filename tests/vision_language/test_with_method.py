"""VQA with a question's prototypes and scene graph: each method through the real functions, on tiny models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from polysense import CmalConfig, CmalModel, Predictor, train
from polysense.errors import PolysenseError
from polysense.models import PolysenseForSequenceClassification
from polysense.training.e_step import EStep
from polysense.vision_language import with_method
from polysense.vision_language.annotations import write_vqa
from polysense.vision_language.examples import Question
from polysense.vision_language.models.cmal import layer_sizes
from polysense.vision_language.models.pretraining import CmalForPreTraining
from polysense.vision_language.processing import CmalProcessor, ProcessorSettings
from polysense.vision_language.question_inputs import QuestionProcessor
from polysense.vision_language.region_files import write_regions
from polysense.vision_language.regions import Regions
from polysense.vision_language.tasks import Split
from polysense.vision_language.with_method import (
    answerable,
    evaluate_with_method,
    load_with_method,
    train_with_method,
)
from support import bert_tokenizer
from vision_language.support import LAYER, WIDTH, tiny_config

pytest_plugins = ("tiny_runs",)

METHODS = ("text", "mpb", "macsc", "mase")
TEXTS = ("what is on the mat", "is the yellow bird on the mat", "the red cat sits on a mat", "a dog")
COLOURS = ("red", "yellow", "no")


def picture(seed: int, regions: int = 3) -> Regions:
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 40, (regions, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(5, 20, (regions, 2))], axis=1).astype(np.float32)
    features = draw.standard_normal((regions, WIDTH)).astype(np.float16)
    return Regions(features, boxes, 64, 64, ["cat", "dog", "bird", ""][:regions])


def questions(count: int, seed: int = 0) -> list[Question]:
    draw = np.random.default_rng(seed)
    made = []
    for i in range(count):
        text, answer = TEXTS[draw.integers(len(TEXTS))], COLOURS[draw.integers(3)]
        made.append(Question(str(i), f"p{draw.integers(6)}", text, [answer] * 8 + ["no"] * 2, "other"))
    return made


def write_split(folder: Path, examples: Sequence[Question], pictures: int = 6) -> None:
    folder.mkdir(parents=True)
    write_vqa(folder / "questions.json", examples, folder / "annotations.json")
    write_regions(folder / "regions.h5", ((f"p{i}", picture(i, i % 4)) for i in range(pictures)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for seed, (name, count) in enumerate({"train": 24, "validation": 9, "test": 7}.items()):
        write_split(folder / name, questions(count, seed))
    return folder


def tiny_bert(config: CmalConfig) -> BertModel:
    """Of the sizes of a CMAL."""
    return BertModel(BertConfig(**{**config.layer, "num_hidden_layers": 4}))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-trained CMAL of random weights."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(3)
    tokenizer = bert_tokenizer()
    config = tiny_config(vocab_size=len(tokenizer), variant="paper")
    config.layer = layer_sizes(tiny_bert(config))
    CmalForPreTraining(config).save_pretrained(folder)
    CmalProcessor(tokenizer, ProcessorSettings(WIDTH, max_length=LAYER["max_position_embeddings"])).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def given(world: Path, start: Path, clip_folder: Path) -> dict[str, Any]:
    """Arguments of `train_with_method` for a run of seconds."""
    return {
        "data": world,
        "start": start,
        "towers": [f"image={clip_folder}"],
        "steps": 12,
        "batch_size": 6,
        "learning_rate": 1e-3,
        "progress": False,
    }


@pytest.fixture(scope="module")
def mase(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A trained MASE and its results; never write into it."""
    folder = tmp_path_factory.mktemp("mase") / "model"
    return folder, train_with_method(folder, method="mase", **given)


def log_probabilities(
    model: PolysenseForSequenceClassification, processor: QuestionProcessor, regions: Sequence[Regions], **changes: Any
) -> Tensor:
    with torch.no_grad():
        return model(**{**processor(list(TEXTS), regions), **changes}).logits


def pictures(first: int = 0) -> list[Regions]:
    return [picture(first + i, 3) for i in range(len(TEXTS))]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_trains_saves_and_predicts_the_same(tmp_path, given, monkeypatch, method):
    trained: list[Any] = []
    run = with_method.run_training
    monkeypatch.setattr(with_method, "run_training", lambda *a, **k: trained.append(run(*a, **k)) or trained[0])
    folder = tmp_path / "model"
    results = train_with_method(folder, method=method, **given)
    assert sorted(tmp_path.iterdir()) == [folder]
    assert json.loads((folder / "results.json").read_text()) == results

    model, processor = load_with_method(folder)
    expected = log_probabilities(trained[0].model.eval(), processor, pictures())
    torch.testing.assert_close(log_probabilities(model, processor, pictures()), expected, rtol=0, atol=0)
    torch.testing.assert_close(expected.exp().sum(dim=1), torch.ones(len(TEXTS)))

    assert (results["task"], results["method"], results["metric"]) == ("vqa", method, "accuracy")
    assert results["modalities"] == (["text"] if method == "text" else ["text", "image"])
    assert results["rows"] == {"train": 24, "validation": 9, "test": 7}
    assert set(results["scores"]) == {"validation", "test"}
    for split, scores in results["scores"].items():
        evaluated = evaluate_with_method(folder, given["data"] / split, progress=False)
        assert evaluated["scores"] == scores
        assert (evaluated["method"], evaluated["rows"]) == (method, results["rows"][split])
    assert bool(results["e_steps"]) == (method == "mase")
    assert set(results["weights"]) == {"mase": {"z"}, "macsc": {"rho", "pi_z"}}.get(method, set())


def test_training_starts_from_what_pre_training_learnt(tmp_path, given, start):
    pretrained = AutoModel.from_pretrained(start)
    assert type(pretrained) is CmalModel
    train_with_method(tmp_path / "m", method="text", **{**given, "steps": 1, "learning_rate": 1e-12})
    model, _ = load_with_method(tmp_path / "m")
    for name, value in pretrained.state_dict().items():
        torch.testing.assert_close(model.backbone.state_dict()[name], value, rtol=0, atol=1e-6)


def test_fresh_starts_from_a_bert(tmp_path, given, start):
    bert = tiny_bert(CmalConfig.from_pretrained(start))
    fresh = tmp_path / "bert"
    bert.save_pretrained(fresh)
    bert_tokenizer().save_pretrained(fresh)
    train_with_method(tmp_path / "m", method="text", fresh=str(fresh), **{**given, "steps": 1, "learning_rate": 1e-12})
    model, _ = load_with_method(tmp_path / "m")
    torch.testing.assert_close(model.backbone.words.weight, bert.embeddings.word_embeddings.weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["text", "mase"])
def test_it_learns_what_only_the_picture_tells(tmp_path, given, method):
    """One question; the answer is the sign of the first feature."""
    signs = [1 if i % 2 else -1 for i in range(16)]
    shown = []
    for i, sign in enumerate(signs):
        regions = picture(i, 2)
        regions.features[:, 0] = 3 * sign
        shown.append((f"p{i}", regions))
    asked = [
        Question(str(i), f"p{i}", "what is the colour of the cat", ["red" if sign > 0 else "yellow"] * 10)
        for i, sign in enumerate(signs)
    ]
    for name in ("train", "validation"):
        write_split(tmp_path / "world" / name, asked)
        (tmp_path / "world" / name / "regions.h5").unlink()
        write_regions(tmp_path / "world" / name / "regions.h5", shown)
    settings = {**given, "data": tmp_path / "world", "steps": 60, "batch_size": 16, "learning_rate": 3e-3}
    settings["head_factor"] = 1.0
    seen = train_with_method(tmp_path / "seen", method=method, **settings)
    assert seen["scores"]["validation"]["accuracy"] == 1
    blind = evaluate_with_method(tmp_path / "seen", tmp_path / "world" / "validation", look=False, progress=False)
    assert blind["scores"]["accuracy"] == 0.5


def test_the_picture_matters(mase):
    model, processor = load_with_method(mase[0])
    shown = log_probabilities(model, processor, pictures())
    assert (shown - log_probabilities(model, processor, pictures(first=50))).abs().amax(dim=1).min() > 1e-4
    hidden = [regions.take([]) for regions in pictures()]
    assert (shown - log_probabilities(model, processor, hidden)).abs().amax(dim=1).min() > 1e-4


def test_prototypes_and_the_scene_graph_matter(mase):
    model, processor = load_with_method(mase[0])
    inputs = processor(list(TEXTS), pictures())
    shown = log_probabilities(model, processor, pictures())
    other = {m: features + 1 for m, features in inputs["prototypes"].items()}
    assert (shown - log_probabilities(model, processor, pictures(), prototypes=other)).abs().max() > 1e-4
    assert len(inputs["graph"]["sentence"]) > 4
    nodes = {m: features + 1 for m, features in inputs["graph"]["features"].items()}
    graph = {**inputs["graph"], "features": nodes}
    assert (shown - log_probabilities(model, processor, pictures(), graph=graph)).abs().max() > 1e-4


def test_tokens_are_the_backbones(mase, start):
    _, processor = load_with_method(mase[0])
    cmal = CmalProcessor.from_pretrained(start)
    expected = cmal(list(TEXTS), pictures())
    inputs = processor(list(TEXTS), pictures())
    for name, value in expected.items():
        assert torch.equal(inputs[name], value), name
    longest = LAYER["max_position_embeddings"]
    assert processor(["cat " * 40], pictures()[:1])["input_ids"].shape == (1, longest)


def test_e_steps_weigh_the_modalities(mase):
    _, results = mase
    assert [e["step"] for e in results["e_steps"]] == [12 * i // 11 for i in range(1, 11)]
    assert results["weights"]["z"] == pytest.approx(results["e_steps"][-1]["z"], abs=1e-3)
    assert sum(results["weights"]["z"].values()) == pytest.approx(1)
    assert (mase[0] / "weights.png").exists()


def test_e_steps_read_a_share_of_what_a_run_of_few_steps_trains_on(tmp_path, given, monkeypatch):
    """12 steps of 1 out of 24 questions train on 12; all of one E-step's share of them is 12, not 24."""
    drawn: list[int] = []
    batches = EStep._batches
    monkeypatch.setattr(EStep, "_batches", lambda self, rows: drawn.append(len(rows)) or batches(self, rows))
    options = {"iterations": 1, "sample": 1.0}
    train_with_method(tmp_path / "m", method="mase", options=options, **{**given, "batch_size": 1})
    assert drawn == [12]


def test_the_same_seed_gives_the_same_model(tmp_path, given, mase):
    again = train_with_method(tmp_path / "m", method="mase", **given)
    assert (again["scores"], again["weights"]) == (mase[1]["scores"], mase[1]["weights"])


def test_a_run_that_goes_on_ends_as_one_that_was_not_interrupted(tmp_path, given, mase, monkeypatch):
    monkeypatch.setattr(with_method, "CHECKPOINT_STEPS", 4)
    original = EStep.on_step_end

    def stop(self: EStep, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 7:
            raise KeyboardInterrupt
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(EStep, "on_step_end", stop)
    with pytest.raises(KeyboardInterrupt):
        train_with_method(tmp_path / "m", method="mase", **given)
    monkeypatch.setattr(EStep, "on_step_end", original)
    with pytest.raises(PolysenseError, match="--resume"):
        train_with_method(tmp_path / "m", method="mase", **given)
    with pytest.raises(PolysenseError, match="had other method"):
        train_with_method(tmp_path / "m", method="mpb", resume=True, **given)
    results = train_with_method(tmp_path / "m", method="mase", resume=True, **given)
    assert (results["scores"], results["weights"]) == (mase[1]["scores"], mase[1]["weights"])
    assert [e["z"] for e in results["e_steps"]] == [e["z"] for e in mase[1]["e_steps"]]


def test_hidden_regions_say_nothing(tmp_path, given):
    """Trained and scored blind, the score does not depend on the pictures."""
    results = train_with_method(tmp_path / "m", method="mpb", look=False, **given)
    model, processor = load_with_method(tmp_path / "m")
    scored = evaluate_with_method(tmp_path / "m", given["data"] / "test", look=False, progress=False)
    assert results["scores"]["test"] == scored["scores"]
    hidden = [regions.take([]) for regions in pictures()]
    assert (
        log_probabilities(model, processor, hidden) - log_probabilities(model, processor, pictures())
    ).abs().max() > 0


def test_the_label_is_the_commonest_answer_that_is_a_class():
    def ask(*answers: str) -> Question:
        return Question("q", "p", "what", answers)

    examples = [ask("A cat", "dog", "cat"), ask("dog", "cat"), ask("fish", "fish", "dog"), ask("fish"), ask()]
    kept, labels = answerable(Split(examples, {}), {"cat": 0, "dog": 1})
    assert labels == [0, 1, 1]
    assert kept.examples == examples[:3]


def test_class_shares_are_those_of_the_training_questions(mase, given):
    config = PolysenseForSequenceClassification.from_pretrained(mase[0]).config
    asked = [question.answers[0] for question in questions(24, 0)]
    shares = {name: config.target["frequency"][i] for i, name in config.id2label.items()}
    assert shares == pytest.approx({name: asked.count(name) / 24 for name in set(asked)})
    assert isinstance(config.backbone_config(), CmalConfig)
    assert config.hidden_size == LAYER["hidden_size"]


def test_cmal_is_known_to_the_auto_classes_after_a_round_trip(tmp_path, start):
    config = AutoConfig.from_pretrained(start)
    assert type(config) is CmalConfig
    settings = config.to_dict()
    again = AutoConfig.for_model(settings.pop("model_type"), **settings)
    again.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).layer == config.layer != {}


# Bad input


def without_regions(folder: Path) -> Path:
    write_split(folder / "train", questions(12), pictures=3)
    return folder


def other_width(folder: Path) -> Path:
    write_split(folder / "train", questions(12))
    (folder / "train" / "regions.h5").unlink()
    thin = Regions(np.ones((1, 2), np.float16), np.array([[0, 0, 1, 1]], np.float32), 2, 2, [""])
    write_regions(folder / "train" / "regions.h5", ((f"p{i}", thin) for i in range(6)))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "masse"}, "unknown method 'masse'"),
        ({"options": {"headz": 2}}, "has no option 'headz'"),
        ({"towers": ["smell=x"]}, "--tower smell=x"),
        ({"stepz": 3}, "unknown setting 'stepz'"),
        ({"method": "macsc", "options": {"heads": 3}}, "cannot be split into 3 heads"),
    ],
)
def test_bad_arguments(tmp_path, given, changes, message):
    with pytest.raises(PolysenseError, match=message):
        train_with_method(tmp_path / "m", **{"method": "mase", **given, **changes})
    assert not (tmp_path / "m").exists()


def test_a_picture_without_regions(tmp_path, given):
    with pytest.raises(PolysenseError, match=r"train: picture p[345] has no regions"):
        train_with_method(tmp_path / "m", method="text", **{**given, "data": without_regions(tmp_path / "world")})


def test_regions_of_another_width(tmp_path, given):
    with pytest.raises(PolysenseError, match=f"features 2 wide, but this model reads {WIDTH}"):
        train_with_method(tmp_path / "m", method="text", **{**given, "data": other_width(tmp_path / "world")})


def test_a_start_that_is_no_cmal(tmp_path, given, bert_folder, mase):
    for folder, message in (
        (bert_folder, "no vision-language model"),
        (tmp_path / "nothing", "no vision-language model"),
        (mase[0], "a polysense model is no pre-trained CMAL"),
    ):
        with pytest.raises(PolysenseError, match=message):
            train_with_method(tmp_path / "m", method="text", **{**given, "start": folder})


def test_what_is_no_model_with_a_method(start, bert_folder):
    for folder in (start, bert_folder):
        with pytest.raises(PolysenseError, match=r"no vision-language model|no trained Polysense model"):
            load_with_method(folder)


def test_the_command_line_scores_it_and_answers_nothing_with_it(cli, tmp_path, given, mase):
    folder, results = mase
    scored = cli("vl", "evaluate", folder, given["data"] / "test", "--json").json
    assert (scored["method"], scored["scores"]) == ("mase", results["scores"]["test"])
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    error = cli("vl", "predict", folder, "what", "--image", tmp_path / "p.png").error
    assert "a model with a method; vl evaluate scores it, and it answers no single picture" in error


def test_it_reads_as_many_regions_as_its_start(given, mase, monkeypatch):
    seen: list[int | None] = []
    monkeypatch.setattr(with_method, "score", lambda task, model, processor, split, *_: seen.append(split.most) or {})
    evaluate_with_method(mase[0], given["data"] / "test")
    assert seen == [36]


def test_verbs_for_texts_alone_refuse_it(tmp_path, mase, start):
    with pytest.raises(PolysenseError, match="reads pictures too"):
        Predictor.load(mase[0])
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text, "label": text[0]}) + "\n" for text in TEXTS * 3))
    with pytest.raises(PolysenseError, match="reads pictures too"):
        train(tmp_path / "m", train_file=rows, backbone=str(start), method="text", progress=False)
    with pytest.raises(PolysenseError, match="tower"):
        train(tmp_path / "m", train_file=rows, towers=[f"image=encoder:{start}"], progress=False)
