"""Towers that are trained along with the backbone ("Non-fixed" of MaCSC Table 6), through whole runs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import TrainerCallback

from polysense.errors import PolysenseError
from polysense.experiments.grid import Grid
from polysense.experiments.reproduce import get_entry
from polysense.experiments.reproduce.scales import PAPER_TOWERS, SMALL_TOWERS
from polysense.experiments.reproduce.script import script_of
from polysense.experiments.runs import Run
from polysense.methods.catalog import method_config
from polysense.models import PolysenseProcessor
from polysense.models.new_backbone import small_encoder_decoder
from polysense.models.processing import PROCESSOR_FILE
from polysense.tasks import Task, TaskData, load_files
from polysense.towers.registry import open_tower
from polysense.training import fine_tune as module
from polysense.training.fine_tune import build_processor, fine_tune
from polysense.training.merge import merge
from polysense.training.predict import Predictor
from polysense.training.settings import TrainingSettings
from polysense.training.train import train
from polysense.training.trainer import PolysenseTrainer
from support import CLOSE, save_clip
from tiny_runs import Cli, hashes

pytest_plugins = ("tiny_runs",)

TEXTS = ["the yellow banana", "", "a dog", "a cat sits on the mat a cat sits on the mat a red bird sings"]


@pytest.fixture
def towers(tmp_path: Path) -> dict[str, str]:
    """One that is trained and one that is not."""
    return {"image": f"train:{save_clip(tmp_path / 'clip')}", "audio": str(save_clip(tmp_path / "frozen", seed=1))}


def run(
    rows_file: Path, backbone: Path, towers: dict[str, str], folder: Path, **settings: Any
) -> tuple[PolysenseTrainer, Any]:
    data = load_files(rows_file, None)
    chosen = TrainingSettings(**{"batch_size": 8, "epochs": 1, "learning_rate": 1e-3, "dropout": 0.0, **settings})
    method = method_config("macsc")
    processor = build_processor(method, str(backbone), towers, chosen, False)
    return fine_tune(data, method, str(backbone), processor, chosen, folder, progress=False), processor


def tower_weights(trainer: PolysenseTrainer) -> dict[str, torch.Tensor]:
    model: Any = trainer.model
    return {name: p.detach().clone() for name, p in model.towers.named_parameters()}


def test_the_towers_weights_are_trained_at_the_backbones_rate(rows_file, bert_folder, towers, tmp_path):
    trainer, processor = run(rows_file, bert_folder, towers, tmp_path / "w", method_learning_rate=1e-2)
    before = dict(open_tower(towers["image"].removeprefix("train:")).named_parameters())
    after = {name.removeprefix("image.tower."): p for name, p in tower_weights(trainer).items()}
    assert set(processor.trained) == {"image"} and after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    # A bias of the keys moves all scores of a query alike, which the softmax does not see.
    assert {name for name in after if not name.endswith("k_proj.bias")} <= changed
    rates = {id(p): group["initial_lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    model: Any = trainer.model
    assert {rates[id(p)] for p in (*model.towers.parameters(), *model.backbone.parameters())} == {1e-3}
    assert {rates[id(p)] for p in model.interaction.parameters()} == {1e-2}


def test_gradients_reach_the_tower_through_the_prototypes_alone(rows_file, bert_folder, towers, tmp_path):
    trainer, processor = run(rows_file, bert_folder, towers, tmp_path / "w")
    model: Any = trainer.model
    batch = dict(processor(TEXTS))
    assert sorted(batch["prototypes"]) == ["audio"] and sorted(batch["windows"]) == ["image"]
    labels = torch.tensor([0, 1, 0, 1])
    model.zero_grad()
    model(**batch, labels=labels).loss.backward()
    gradients = {name: p.grad for name, p in model.towers.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert min(g.abs().max() for name, g in gradients.items() if not name.endswith("k_proj.bias")) > 0
    model.zero_grad()
    model(**batch, leave_out={"image"}).logits.square().sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.towers.parameters())


def test_with_its_tower_held_a_run_is_that_of_the_frozen_tower(rows_file, bert_folder, towers, tmp_path, monkeypatch):
    """The same steps, prototypes being read live or ahead of time; those of the frozen tower exact, too."""

    class Still(PolysenseTrainer):
        def create_optimizer(self, model: Any = None) -> Any:
            # Not a rate of 0: gradients are clipped by the norm of all of them.
            self.model.towers.requires_grad_(False)  # type: ignore[union-attr]
            return super().create_optimizer(model)

    monkeypatch.setattr(module, "PolysenseTrainer", Still)
    frozen = {m: spec.removeprefix("train:") for m, spec in towers.items()}
    outputs = []
    for specs in (frozen, towers):
        trainer, processor = run(rows_file, bert_folder, specs, tmp_path / "w", precision="exact", epochs=2)
        model: Any = trainer.model
        with torch.no_grad():
            outputs.append(model.eval()(**processor(TEXTS)))
    torch.testing.assert_close(outputs[1].logits, outputs[0].logits, **CLOSE)
    torch.testing.assert_close(outputs[1].representations, outputs[0].representations, **CLOSE)


def test_saved_and_opened_it_predicts_the_same(rows_file, bert_folder, towers, tmp_path, monkeypatch):
    seen: list[tuple[Any, Any]] = []

    def remember(data: Any, method: Any, backbone: Any, processor: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((fine_tune(data, method, backbone, processor, *args, **kwargs), processor))
        return seen[-1][0]

    # The package has a function of that name.
    monkeypatch.setattr(sys.modules["polysense.training.train"], "fine_tune", remember)
    specs = [f"{m}={spec}" for m, spec in towers.items()]
    before = hashes(tmp_path / "clip")
    folder = tmp_path / "model"
    results = train(
        folder, train_file=rows_file, backbone=str(bert_folder), towers=specs, batch_size=8, epochs=2,
        learning_rate=1e-3, adapter="frozen", store=tmp_path / "store", progress=False,
    )  # fmt: skip
    assert hashes(tmp_path / "clip") == before
    ((trainer, processor),) = seen
    model: Any = trainer.model
    with torch.no_grad():
        expected = model.eval()(**processor(TEXTS)).logits.exp()
    shutil.rmtree(tmp_path / "clip")  # the model has its own
    moved = folder.rename(tmp_path / "moved")
    merge(moved, tmp_path / "merged")
    for place in (moved, tmp_path / "merged"):
        predictor = Predictor.load(place, store=tmp_path / "store")
        assert not predictor.processor.trained and not len(predictor.model.towers)
        got = torch.tensor([list(p.probabilities.values()) for p in predictor.predict(TEXTS)])
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        noted = json.loads((place / PROCESSOR_FILE).read_text())["towers"]
        assert noted["image"]["spec"] == "towers/image" and noted["image"]["own"] is True
        assert "own" not in noted["audio"] and noted["image"]["reading"]["precision"] == "exact"
        assert not any(name.startswith("towers.") for name in load_file(place / "model.safetensors"))
    assert results["towers"]["image"].startswith("train:") and (moved / "report.html").exists()
    shutil.rmtree(moved / "towers" / "image")
    with pytest.raises(PolysenseError, match="tower"):
        Predictor.load(moved)


def test_a_run_goes_on_with_the_towers_that_it_had(rows_file, bert_folder, towers, tmp_path):
    settings: dict[str, Any] = {"batch_size": 8, "epochs": 2, "learning_rate": 1e-3}
    data, method = load_files(rows_file, None), method_config("macsc")

    def go(folder: str, stop: bool = False, resume: bool = False) -> dict[str, torch.Tensor]:
        class Stop(TrainerCallback):
            def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                control.should_training_stop = stop

        chosen = TrainingSettings(**settings)
        processor = build_processor(method, str(bert_folder), towers, chosen, False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "ProgressBar", lambda *_: Stop())
            trainer = fine_tune(
                data, method, str(bert_folder), processor, chosen, tmp_path / folder, save_epochs=True, resume=resume
            )
        return tower_weights(trainer)

    whole, half = go("whole"), go("parts", stop=True)
    rest = go("parts", resume=True)
    assert any(not torch.equal(whole[name], half[name]) for name in whole)
    for name in whole:
        torch.testing.assert_close(rest[name], whole[name], **CLOSE)


ROWS: dict[str, dict[str, list[Any]]] = {
    "span": {
        "id": ["0", "1", "2"],
        "text": ["a cat", "the dog", "red"],
        "text_pair": ["the cat sits on the mat " * 4, "a dog", "a bird is yellow"],
        "answers": [["mat"], ["dog"], ["yellow"]],
        "starts": [[20], [2], [10]],
    },
    "choice": {
        "text": ["a cat", "the dog", "red"],
        "choices": [["sits", "is"], ["sings", "is", "on"], ["yellow", "bird"]],
        "label": [0, 2, 1],
    },
    "generation": {"text": ["cat mat", "dog", "bird sings"], "target": ["the cat is on the mat", "a dog", "a bird"]},
}


@pytest.mark.parametrize("kind", ROWS)
def test_every_kind_of_task_reads_windows(bert_folder, towers, tmp_path, kind):
    data = TaskData("made", kind, {"train": Dataset.from_dict(ROWS[kind])}, None, ("accuracy",), kind == "span")
    backbone = bert_folder
    if kind == "generation":
        backbone = tmp_path / "t5"
        small_encoder_decoder(backbone, ["the cat is on the mat"], width=16, layers=1, heads=2, vocabulary=40)
    settings = TrainingSettings(batch_size=2, epochs=1, learning_rate=1e-2, max_length=24, precision="exact")
    method, problem = method_config("macsc"), module.PROBLEMS[kind].with_settings(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(problem), "check", lambda *_: None)
        processor = build_processor(method, str(backbone), towers, settings, False)
        trainer = fine_tune(data, method, str(backbone), processor, settings, tmp_path / "w", progress=False)
    model: Any = trainer.model
    original = open_tower(towers["image"].removeprefix("train:"))
    assert not torch.equal(
        model.towers["image"].tower.model.text_projection.weight, original.model.text_projection.weight
    )
    processor.save_pretrained(tmp_path / "saved")
    opened = PolysenseProcessor.from_pretrained(tmp_path / "saved", store=False)
    with torch.no_grad():
        outputs = []
        for reads in (processor, opened):
            batch = problem.collator(reads)([problem.rows(data.splits["train"], reads)[i] for i in range(3)])
            assert ("windows" in batch) is (reads is processor)
            outputs.append(problem.outputs(model.eval(), batch))
    torch.testing.assert_close(outputs[0], outputs[1], **CLOSE)


def test_seeds_and_runs_start_from_the_same_tower(tiny_task: Task, bert_folder, towers, tmp_path):
    runs = [Run.parse("macsc", towers), Run.parse("macsc", {**towers, "image": towers["image"].removeprefix("train:")})]
    grid = Grid(runs[:1], [tiny_task.name], (0, 1), backbone=str(bert_folder), cells=tmp_path / "a", store=False)
    cells = grid.plan()
    other = Grid(
        runs[1:], [tiny_task.name], (0, 1), backbone=str(bert_folder), cells=tmp_path / "a", store=False
    ).plan()
    assert len({cell.file for cell in (*cells, *other)}) == 4
    ends = []
    for cell in (cells[0], cells[1], cells[0]):
        _, trainer = grid.train(grid.data(tiny_task.name), cell.run, cell.settings, progress=False)
        ends.append(tower_weights(trainer))
    assert all(torch.equal(ends[0][name], ends[2][name]) for name in ends[0])
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "train --output-dir {out} --tower image=train:noise --train-file {rows} --backbone {bert}",
            "nothing to train",
        ),
        ("extract --store {out} --tower image=train:{clip} --file {rows}", "only polysense train and compare train"),
    ],
)
def test_the_command_line_says_what_cannot_be(cli: Cli, rows_file, bert_folder, clip_folder, tmp_path, arguments, said):
    filled = arguments.format(out=tmp_path / "out", clip=clip_folder, rows=rows_file, bert=bert_folder)
    assert said in cli(*filled.split()).error


def test_scene_graphs_are_refused(towers, bert_folder):
    with pytest.raises(PolysenseError, match="looks at entities, whose features are read once"):
        build_processor(method_config("mase"), str(bert_folder), towers, TrainingSettings(), False)


def test_table_6_plans_its_lines():
    entry = get_entry("macsc-table6")
    lines = {line.label: line for line in entry.lines}
    for label, scale, towers in (
        ("Non-fixed CLIP*", "paper", PAPER_TOWERS),
        ("Non-fixed, image alone (not in this table)", "small", {"image": SMALL_TOWERS["image"]}),
    ):
        text = lines[label].text(scale, towers)
        assert text is not None
        run = Run.parse(text)
        assert run.towers == {m: f"train:{spec}" for m, spec in towers.items()}
        assert run.method == method_config("macsc")
    assert lines["Non-fixed CLIP*"].text("small", SMALL_TOWERS) is None
    script = script_of(entry, "paper", "x.sh", seeds=1)
    assert "image=train:towers/clip,audio=train:towers/audioclip,video=train:towers/clip-vip" in script
