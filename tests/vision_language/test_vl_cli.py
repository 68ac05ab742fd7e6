from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from polysense.errors import PolysenseError
from polysense.vision_language import prediction as prediction_module
from polysense.vision_language.detection import opening as opening_module
from polysense.vision_language.detection.extraction import picture_files
from polysense.vision_language.region_files import open_regions
from polysense.vision_language.world import build as world_module
from vision_language.data_folder import OPTIONS, StubDetector

pytest_plugins = ("tiny_runs", "vision_language.data_folder")

QUICK_FLAGS = ["--steps", 4, "--batch-size", 4, "--learning-rate", "1e-3"]


@pytest.fixture
def flags(bert_folder: Path) -> list[Any]:
    options = [flag for name, value in OPTIONS.items() for flag in ("--option", f"{name}={value}")]
    return ["--backbone", bert_folder, *options, *QUICK_FLAGS]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubDetector:
    stub = StubDetector()
    monkeypatch.setattr(prediction_module, "open_detector", lambda spec: stub)
    monkeypatch.setattr(opening_module, "open_detector", lambda spec: stub)
    return stub


def test_pretrain_train_evaluate_predict_in_json(cli, tmp_path, vl_data, flags, stub):
    start, model = tmp_path / "start", tmp_path / "m"
    data = vl_data / "train"
    ran = cli("vl", "pretrain", data, "--output-dir", start, *flags, "--detector", "grid", "--seed", 3, "--json").json
    assert ran == json.loads((start / "results.json").read_text())
    assert ran["settings"]["seed"] == 3 and ran["settings"]["steps"] == 4 and ran["captions"] == 48
    ran = cli(
        "vl", "train", start, "--output-dir", model, "--task", "vqa", "--data", vl_data, *QUICK_FLAGS,
        "--head-factor", 3, "--warmup", 0.5, "--json",
    ).json  # fmt: skip
    assert ran == json.loads((model / "results.json").read_text())
    assert (ran["settings"]["head_factor"], ran["settings"]["warmup"]) == (3, 0.5)
    scored = cli("vl", "evaluate", model, vl_data / "test", "--batch-size", 3, "--json").json
    assert scored["scores"] == pytest.approx(ran["scores"]["test"])
    hidden = cli("vl", "evaluate", model, vl_data / "test", "--no-pictures", "--json").json
    assert set(hidden["scores"]) == set(scored["scores"])
    Image.new("RGB", (60, 40), "red").save(tmp_path / "p.png")
    asked = ["vl", "predict", model, "is a cat [b] on the mat", "--image", tmp_path / "p.png"]
    found = cli(*asked, "--output", tmp_path / "drawn.png", "--json").json
    assert (found["model"], found["task"], len(found["regions"])) == (str(model), "vqa", 3)
    assert found["answers"][found["answer"]] == found["probability"]
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.format == "PNG"


def test_tables_for_people(cli, tmp_path, vl_data, vl_start, vl_models, flags, stub):
    shown = cli("vl", "pretrain", vl_data / "train", "--output-dir", tmp_path / "[s]", *flags)
    assert shown.status == 0 and "48 captions" in shown.out and "[s]" in shown.out
    shown = cli(
        "vl",
        "train",
        vl_start,
        "--output-dir",
        tmp_path / "[m]",
        "--task",
        "retrieval",
        "--data",
        vl_data,
        *QUICK_FLAGS,
    )
    assert shown.status == 0
    for part in ("retrieval, validation, 16 examples", "retrieval, test", "to_text/recall@5", "median_rank", "[m]"):
        assert part in shown.out, part
    shown = cli("vl", "evaluate", tmp_path / "[m]", vl_data / "test")
    results = json.loads((tmp_path / "[m]" / "results.json").read_text())["scores"]["test"]
    lines = {line.split()[1]: line.split()[3] for line in shown.out.splitlines() if "/" in line or "mean" in line}
    assert lines["to_text/median_rank"] == f"{results['to_text/median_rank']:.1f}"
    assert lines["mean_recall"] == f"{100 * results['mean_recall']:.1f}"
    Image.new("RGB", (60, 40), "red").save(tmp_path / "p.png")
    shown = cli("vl", "predict", vl_models["rec"], "the red cat", "--image", tmp_path / "p.png")
    assert shown.status == 0 and shown.out.splitlines()[1].startswith("at ") and "what it looked at" in shown.out


def test_other_files_recipes_and_shares_of_pretraining(cli, tmp_path, vl_data, flags):
    (tmp_path / "synonyms.tsv").write_text("cat\tfeline\n")
    ran = cli(
        "vl", "pretrain", tmp_path, "--captions", vl_data / "train" / "captions.json", "--regions",
        vl_data / "train" / "regions.h5", "--output-dir", tmp_path / "m", *flags, "--share", 0.25, "--max-regions", 2,
        "--objective", "association=2", "--objective", "masking=1", "--synonyms", tmp_path / "synonyms.tsv", "--json",
    ).json  # fmt: skip
    assert ran["recipe"] == {"association": 2, "masking": 1} and ran["pictures"] == 6
    assert ran["max_regions"] == 2


def test_convert_makes_published_regions_ready(cli, tmp_path, vl_data):
    ran = cli("vl", "convert", vl_data / "test" / "regions.h5", "--output", tmp_path / "r.h5", "--json").json
    assert ran == {"regions": str(tmp_path / "r.h5"), "pictures": 8, "with_tags": 8, "width": 8}
    shown = cli("vl", "convert", vl_data / "test" / "regions.h5", "--output", tmp_path / "r.h5")
    assert shown.status == 0 and "8 pictures, 8 with tags" in shown.out
    names = ["--tag-names", vl_data / "names.txt"]
    assert (
        "tag_names is not for HDF5"
        in cli("vl", "convert", tmp_path / "r.h5", "--output", tmp_path / "s.h5", *names).error
    )


def test_extract_finds_the_regions_of_a_folder(cli, tmp_path, stub):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.JPG", "deep/a.png"):
        Image.new("RGB", (30, 20), "red").save(folder / name)
    (folder / "broken.png").write_text("x")
    (folder / "notes.txt").write_text("x")
    found = cli("vl", "extract", folder, "--output", tmp_path / "r.h5", "--json").json
    assert found == {"regions": str(tmp_path / "r.h5"), "pictures": 2, "left_out": 1}
    source = open_regions(tmp_path / "r.h5")
    assert sorted(source) == ["a", "b"] and len(source["a"]) == 3
    shown = cli("vl", "extract", folder, "--output", tmp_path / "r.h5")
    assert shown.status == 0 and "2 pictures, 1 left out" in shown.out
    assert "is a folder" in cli("vl", "extract", folder, "--output", tmp_path).error


def test_pictures_are_called_by_their_files_names(tmp_path):
    for name in ("b.PNG", "x/a.tiff", "x/y/c.webp", "x/c.txt", ".hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "folder.png").mkdir()
    found = picture_files(tmp_path)
    assert {name: str(file.relative_to(tmp_path)) for name, file in found.items()} == {
        "b": "b.PNG", "a": "x/a.tiff", "c": "x/y/c.webp",
    }  # fmt: skip
    (tmp_path / "x" / "b.jpg").write_text("")
    with pytest.raises(PolysenseError, match=r"b\.PNG and x/b\.jpg have the same name"):
        picture_files(tmp_path)
    with pytest.raises(PolysenseError, match="there is no picture in it"):
        picture_files(tmp_path / "folder.png")
    for path in (tmp_path / "nowhere", tmp_path / "b.PNG"):
        with pytest.raises(PolysenseError, match="no such folder"):
            picture_files(path)


def test_world_is_given_what_was_asked(cli, tmp_path, monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(world_module, "build_world", lambda folder, **kwargs: given.update(kwargs, folder=folder))
    asked = ["--scenes", 5, "--validation", 2, "--test", 3, "--test-seen", 6, "--seed", 4]
    asked += ["--pictures", "all", "--workers", 1]
    made = cli("vl", "world", "--output-dir", tmp_path / "w", *asked, "--json").json
    assert made == {"world": str(tmp_path / "w"), "scenes": {"train": 5, "validation": 2, "test": 3, "test_seen": 6}}
    assert given == {
        "folder": tmp_path / "w", "scenes": 5, "validation": 2, "test": 3, "test_seen": 6, "seed": 4, "pictures": "all",
        "workers": 1, "overwrite": False,
    }  # fmt: skip
    assert "some" in cli("vl", "world", "--output-dir", tmp_path / "w", "--pictures", "some").error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain", "/no/data", "--output-dir", "{tmp}/m"], "/no/data"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--recipe", "clip"], "unknown recipe 'clip'"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--objective", "matching"], "matching: write"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--objective", "matching=x"], "must be a number"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--option", "unifed_layers=3"], "unified_layers"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--share", "0"], "share must be above 0"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--steps", "0"], "steps"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--seed", "-1"], "seed must be 0 or more"),
        (["pretrain", "{data}/train", "--output-dir", "{data}"], "holds something else"),
        (["train", "{start}", "--output-dir", "{tmp}/m", "--task", "vq", "--data", "{data}"], "unknown task 'vq'"),
        (["train", "{data}", "--output-dir", "{tmp}/m", "--task", "vqa", "--data", "{data}"], "no vision-language"),
        (["train", "{start}", "--output-dir", "{tmp}/m", "--task", "rec", "--data", "{data}", "--method", "macsc"],
         "--method macsc: the question's prototypes are for --task vqa, not rec"),
        (["train", "{start}", "--output-dir", "{tmp}/m", "--task", "vqa", "--data", "{data}", "--tower", "image"],
         "--tower image: it is one of --method, which is not given"),
        (["train", "{start}", "--output-dir", "{tmp}/m", "--task", "vqa", "--data", "{data}", "--option", "heads=2"],
         "--option heads=2: it is one of --method"),
        (["pretrain", "{data}/train", "--output-dir", "{tmp}/m", "--max-regions", "0"], "max-regions"),
        (["convert", "{tmp}/no.tsv", "--output", "{tmp}/r.h5"], "no such file"),
        (["train", "{start}", "--output-dir", "{tmp}/m", "--task", "rec", "--data", "{data}", "--resume"], "nothing"),
        (["evaluate", "{start}", "{data}/test"], "of no task yet"),
        (["evaluate", "{vqa}", "{tmp}"], "questions.json"),
        (["evaluate", "{vqa}", "{data}/test", "--regions", "{data}/test/captions.json"], "unknown kind of region file"),
        (["predict", "{vqa}", "a cat", "--image", "{tmp}/no.png"], "no.png"),
        (["predict", "{vqa}", "a cat", "--image", "{tmp}/no.png", "--output", "{tmp}"], "is a folder"),
        (["predict", "{vqa}", "a cat"], "--image"),
        (["extract", "{tmp}", "--output", "{tmp}/r.h5"], "there is no picture in it"),
        (["extract"], "Missing argument"),
    ],
)  # fmt: skip
def test_errors_are_one_line(cli, tmp_path, vl_data, vl_start, vl_models, stub, arguments, message):
    places = {"tmp": tmp_path, "data": vl_data, "start": vl_start, "vqa": vl_models["vqa"]}
    assert message in cli("vl", *(a.format(**places) for a in arguments)).error


def test_a_run_goes_on_only_with_what_it_began_with(cli, tmp_path, vl_data, vl_start):
    model = shutil.copytree(vl_start, tmp_path / "m")
    assert "--overwrite" in cli("vl", "pretrain", vl_data / "train", "--output-dir", model).error
    assert "nothing to resume" in cli(
        "vl", "pretrain", vl_data / "train", "--output-dir", tmp_path / "n", "--resume", "--option", "unified_layers=1"
    ).error  # fmt: skip
