"""Adapters of the backbone: what they train, save, load and merge."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

import polysense
import support
import tiny_backbones
from polysense.errors import PolysenseError
from polysense.models import MODELS, PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.models.adapters import AdapterSettings, weights_digest
from polysense.models.backbone import load_backbone
from polysense.training import TrainingSettings
from polysense.training.merge import merge
from polysense.training.predict import Predictor
from polysense.training.progress import ProgressBar

pytest_plugins = ("tiny_runs",)

OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"r": 2, "alpha": 8},
    "ia3": {},
    "prompt": {"virtual_tokens": 3},
    "frozen": {},
}
TEXTS = ["the red cat sits", "a", "", "banana.", "is a dog on"]
LABELS = torch.tensor([0, 1, 1, 0, 1])
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory, bert_folder: Path) -> Callable[[str], Path]:
    """A family's tiny model, made once."""
    made = {"bert": bert_folder}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = tiny_backbones.save_backbone(family, tmp_path_factory.mktemp(family))
        return made[family]

    return folder


def fresh(folder: Path, kind: str, **options: Any) -> PolysenseForSequenceClassification:
    torch.manual_seed(1)
    adapter = AdapterSettings.of(kind, {**OPTIONS[kind], **options}).to_dict()
    return PolysenseForSequenceClassification.from_backbone(str(folder), PolysenseConfig(adapter=adapter))


def stepped(folder: Path, kind: str, steps: int = 3) -> tuple[PolysenseForSequenceClassification, dict[str, Any]]:
    """A model after some steps with a large learning rate, and the inputs of `TEXTS`."""
    model = fresh(folder, kind).train()
    inputs = dict(PolysenseProcessor.from_backbone(str(folder))(TEXTS))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.03)
    for _ in range(steps):
        model(**inputs, labels=LABELS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), inputs


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("method", ["text", "mpb", "macsc", "mase"])
@pytest.mark.parametrize("kind", OPTIONS)
def test_train_save_load_predict(
    tmp_path: Path, tiny: dict[str, Any], folder_of: Callable[[str], Path], kind: str, method: str, family: str
) -> None:
    folder = folder_of(family)
    given = {**tiny, "backbone": str(folder), "train_rows": 8, "adapter": kind, "adapter_options": OPTIONS[kind]}
    results = polysense.train(tmp_path / "model", method=method, learning_rate=0.03, **given)
    assert results["settings"]["adapter"] == kind
    saved = load_file(tmp_path / "model" / WEIGHTS)
    predictor = Predictor.load(tmp_path / "model")
    model = predictor.model
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    in_backbone = {name for name in trained if name.startswith("backbone.")}
    assert bool(in_backbone) == (kind != "frozen")
    # The method's layers are trained whole, and what is saved is what was trained, and the method's own numbers.
    assert {name for name, _ in model.named_parameters() if not name.startswith("backbone.")} == trained - in_backbone
    assert {name for name in saved if name.startswith("backbone.")} == in_backbone
    frozen = [p for name, p in model.named_parameters() if name.startswith("backbone.") and name not in trained]
    pretrained = load_backbone(str(folder))[0].state_dict()
    assert weights_digest(torch.nn.ParameterList(frozen)) == weights_digest(torch.nn.ParameterList(pretrained.values()))
    assert len(predictor.predict(TEXTS)) == len(TEXTS)
    check_padding(model, predictor.processor)


def check_padding(model: Any, processor: PolysenseProcessor) -> None:
    """Texts have the same logits together and alone."""
    with torch.no_grad():
        together = model(**processor(TEXTS)).logits
        alone = torch.cat([model(**processor([text])).logits for text in TEXTS])
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", tiny_backbones.FAMILIES)
@pytest.mark.parametrize("kind", OPTIONS)
def test_what_is_trained_moves_and_nothing_else(
    tmp_path: Path, folder_of: Callable[[str], Path], kind: str, family: str
) -> None:
    before = {name: w.clone() for name, w in fresh(folder_of(family), kind).state_dict().items()}
    model, inputs = stepped(folder_of(family), kind)
    after = model.state_dict()
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    assert model.trainable_parameters() == (sum(sizes[name] for name in moved), sum(sizes.values()))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert not loaded.training
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded.trainable_parameters() == model.trainable_parameters()
    check_padding(loaded, PolysenseProcessor.from_backbone(str(folder_of(family))))


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [
        # 2 layers, query and value of 16 x 16: r x (16 + 16) numbers each.
        ("lora", {"r": 2}, 2 * 2 * 2 * 32),
        ("lora", {"r": 5}, 2 * 2 * 5 * 32),
        # Keys, values and the attention's output, 16 wide, and the feed-forward layer's input, 24 wide.
        ("ia3", {}, 2 * (3 * 16 + 24)),
        ("prompt", {"virtual_tokens": 7}, 7 * 16),
        ("frozen", {}, 0),
    ],
)
def test_counts(bert_folder: Path, kind: str, options: dict[str, Any], count: int) -> None:
    head = 16 * 2 + 2
    assert fresh(bert_folder, kind, **options).trainable_parameters()[0] == count + head
    torch.manual_seed(1)
    whole = PolysenseForSequenceClassification.from_backbone(str(bert_folder), PolysenseConfig())
    assert whole.trainable_parameters() == (whole.num_parameters(), whole.num_parameters())


def test_a_fresh_lora_changes_nothing(bert_folder: Path) -> None:
    inputs = PolysenseProcessor.from_backbone(str(bert_folder))(TEXTS)
    torch.manual_seed(1)
    plain = PolysenseForSequenceClassification.from_backbone(str(bert_folder), PolysenseConfig()).eval()
    for kind in ("lora", "ia3", "frozen"):
        torch.testing.assert_close(
            fresh(bert_folder, kind).eval()(**inputs).representations, plain(**inputs).representations
        )


def test_a_prompt_is_read_before_the_text(bert_folder: Path) -> None:
    model, inputs = stepped(bert_folder, "prompt")
    texts = PolysenseProcessor.from_backbone(str(bert_folder))(["the cat", "banana"], ["a dog", ""])
    for batch in (inputs, texts):
        states = model.backbone(**batch).last_hidden_state
        assert states.shape[:2] == batch["input_ids"].shape
        # By hand, a row at a time and without padding.
        base = model.backbone.backbone
        for row, mask in enumerate(batch["attention_mask"].bool()):
            words = base.embeddings.word_embeddings(batch["input_ids"][row, mask])
            types = torch.cat([torch.zeros(3, dtype=torch.int64), batch["token_type_ids"][row, mask]])[None]
            read = base(inputs_embeds=torch.cat([model.backbone.prompt, words])[None], token_type_ids=types)
            torch.testing.assert_close(states[row, mask], read.last_hidden_state[0, 3:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5", "modernbert"])
@pytest.mark.parametrize("kind", ["lora", "ia3", "frozen"])
def test_merged_models_are_plain_and_predict_the_same(
    tmp_path: Path, folder_of: Callable[[str], Path], kind: str, family: str
) -> None:
    model, inputs = stepped(folder_of(family), kind)
    expected = model(**inputs).logits
    plain = PolysenseForSequenceClassification.from_backbone(str(folder_of(family)), PolysenseConfig())
    model.merge_adapter()
    assert model.config.adapter is None
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert model.trainable_parameters() == plain.trainable_parameters()
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-4, atol=1e-4)
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / WEIGHTS).keys() == plain.state_dict().keys()
    loaded = PolysenseForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_merge_writes_a_model_that_stands_alone(tmp_path: Path, tiny: dict[str, Any]) -> None:
    base = support.save_bert(tmp_path / "base")
    polysense.train(tmp_path / "model", adapter="lora", **{**tiny, "backbone": str(base), "learning_rate": 0.03})
    expected = Predictor.load(tmp_path / "model").predict(TEXTS)
    told = merge(tmp_path / "model", tmp_path / "merged")
    shutil.rmtree(base)
    assert {file.name for file in (tmp_path / "merged").iterdir()} == {
        file.name for file in (tmp_path / "model").iterdir()
    }
    predictor = Predictor.load(tmp_path / "merged")
    assert told == {
        "model": str(tmp_path / "model"),
        "output": str(tmp_path / "merged"),
        "adapter": "lora",
        "parameters": predictor.model.num_parameters(),
    }
    for before, after in zip(expected, predictor.predict(TEXTS), strict=True):
        assert after.to_dict() == {
            "prediction": before.label,
            "probabilities": pytest.approx(before.to_dict()["probabilities"], abs=1e-4),
        }
    with pytest.raises(PolysenseError, match="already holds a result"):
        merge(tmp_path / "merged", tmp_path / "merged")
    with pytest.raises(PolysenseError, match="no adapter to merge"):
        merge(tmp_path / "merged", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("kind", OPTIONS)
def test_choices_and_spans_take_adapters_too(tmp_path: Path, bert_folder: Path, kind: str) -> None:
    adapter = AdapterSettings.of(kind, OPTIONS[kind]).to_dict()
    processor = PolysenseProcessor.from_backbone(str(bert_folder))
    inputs = processor(["the cat", "a dog", "the red bird", "banana"])
    pairs = {name: value.unflatten(0, (2, 2)) for name, value in inputs.items()}
    for model_kind, given in (("choice", pairs), ("span", dict(inputs))):
        target = {"kind": model_kind, **({"frequency": None} if model_kind == "span" else {})}
        config = PolysenseConfig(adapter=adapter, target=target)
        model = MODELS[model_kind].from_backbone(str(bert_folder), config).eval()
        model.save_pretrained(tmp_path / model_kind)
        loaded = MODELS[model_kind].from_pretrained(tmp_path / model_kind)
        assert torch.equal(loaded(**given).logits, model(**given).logits)
        assert loaded.trainable_parameters() == model.trainable_parameters()


def test_what_cannot_be_merged(bert_folder: Path) -> None:
    with pytest.raises(PolysenseError, match="a prompt cannot be merged"):
        fresh(bert_folder, "prompt").merge_adapter()
    with pytest.raises(PolysenseError, match="no adapter to merge"):
        PolysenseForSequenceClassification.from_backbone(str(bert_folder), PolysenseConfig()).merge_adapter()


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    base = support.save_bert(tmp_path / "base")
    model, inputs = stepped(base, "lora")
    model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / WEIGHTS).stat().st_size < (base / WEIGHTS).stat().st_size / 2
    support.save_bert(base, seed=5)
    with pytest.raises(
        PolysenseError, match=r"the backbone .*base has other weights than when its adapter was trained"
    ):
        PolysenseForSequenceClassification.from_pretrained(tmp_path / "model")
    support.save_bert(base)
    again = PolysenseForSequenceClassification.from_pretrained(tmp_path / "model")
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(PolysenseError, match=r"backbone .*base: no such folder"):
        PolysenseForSequenceClassification.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_weights_that_are_not_whole(tmp_path: Path, bert_folder: Path, change: str) -> None:
    stepped(bert_folder, "lora")[0].save_pretrained(tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    if change == "missing":
        del weights["combination.head.weight"]
    else:
        weights["backbone.other"] = torch.zeros(2)
    save_file(weights, tmp_path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(PolysenseError, match=f"{WEIGHTS} is not whole"):
        PolysenseForSequenceClassification.from_pretrained(tmp_path)


def test_digest_knows_the_weights_and_not_their_names() -> None:
    one, two = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    digest = weights_digest(one)
    assert weights_digest(two) != digest
    assert weights_digest(torch.nn.ParameterList([one.bias, one.weight])) == digest
    with torch.no_grad():
        one.bias[0] += 1e-6
    assert weights_digest(one) != digest


def break_off(folder: Path, **given: Any) -> None:
    """Interrupt a run after its first epoch."""

    def stop(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch and state.epoch >= 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressBar, "on_epoch_begin", stop)
        with pytest.raises(KeyboardInterrupt):
            polysense.train(folder, **given)


def test_a_run_that_was_interrupted_goes_on(tmp_path: Path, tiny: dict[str, Any]) -> None:
    given = {**tiny, "train_rows": 16, "adapter": "lora", "adapter_options": {"r": 2}, "epochs": 2, "progress": True}
    polysense.train(tmp_path / "whole", **given)
    break_off(tmp_path / "model", **given)
    (checkpoint,) = (tmp_path / "model.partial").glob("checkpoint-*")
    expected = load_file(tmp_path / "whole" / WEIGHTS)
    assert load_file(checkpoint / WEIGHTS).keys() == expected.keys()
    polysense.train(tmp_path / "model", resume=True, **given)
    got = load_file(tmp_path / "model" / WEIGHTS)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lorra", {}, "unknown adapter 'lorra': one of lora, ia3, prompt, frozen"),
        ("lora", {"rank": 8}, "adapter lora has no option 'rank'; its options: r, alpha, dropout"),
        ("ia3", {"r": 8}, "adapter ia3 has no option 'r'; its options: none"),
        ("lora", {"r": 0}, "adapter lora: r must be a whole number above 0, not 0"),
        ("lora", {"r": 2.5}, "adapter lora: r must be a whole number above 0, not 2.5"),
        ("lora", {"alpha": 0}, "adapter lora: alpha must be a number above 0, not 0"),
        ("lora", {"alpha": float("nan")}, "adapter lora: alpha must be a number above 0, not nan"),
        ("lora", {"dropout": 1.0}, "adapter lora: dropout must be 0 or more and below 1, not 1.0"),
        ("prompt", {"virtual_tokens": True}, "adapter prompt: virtual_tokens must be a whole number above 0, not True"),
    ],
)
def test_bad_settings(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PolysenseError) as error:
        TrainingSettings(adapter=kind, adapter_options=options)
    assert str(error.value) == message


def test_options_need_an_adapter(bert_folder: Path) -> None:
    with pytest.raises(PolysenseError, match="adapter option r without an adapter"):
        TrainingSettings(adapter_options={"r": 8})


def test_a_prompt_takes_its_part_of_the_positions(bert_folder: Path) -> None:
    tokenizer = support.bert_tokenizer(512)
    assert fresh(bert_folder, "frozen").text_length(tokenizer) == 32
    assert fresh(bert_folder, "prompt", virtual_tokens=10).text_length(tokenizer) == 22
    with pytest.raises(PolysenseError, match="30 virtual tokens leave no place for a text in the 32 positions"):
        fresh(bert_folder, "prompt", virtual_tokens=30).text_length(tokenizer)


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_without_peft(bert_folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(PolysenseError, match=rf"adapter {kind} needs peft: pip install 'polysense\[peft\]'"):
        fresh(bert_folder, kind)
    fresh(bert_folder, "prompt")
    fresh(bert_folder, "frozen")


def test_the_configuration_says_what_the_adapter_stands_on(tmp_path: Path, bert_folder: Path) -> None:
    fresh(bert_folder, "lora").save_pretrained(tmp_path)
    adapter = json.loads((tmp_path / "config.json").read_text())["adapter"]
    digest = weights_digest(load_backbone(str(bert_folder))[0])
    assert adapter == {
        "kind": "lora",
        "r": 2,
        "alpha": 8,
        "dropout": 0.0,
        "base": {"source": str(bert_folder), "sha256": digest},
    }


@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_gradient_checkpointing(bert_folder: Path, kind: str) -> None:
    gradients = []
    for enable in (False, True):
        model = fresh(bert_folder, kind).train()
        if enable:
            support.recompute_activations(model)
        inputs = PolysenseProcessor.from_backbone(str(bert_folder))(TEXTS)
        torch.manual_seed(3)
        model(**inputs, labels=LABELS).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize("change", ["backbone", "validation"])
def test_a_run_goes_on_with_what_it_began_with(change: str, tmp_path: Path, tiny: dict[str, Any]) -> None:
    backbone = support.save_bert(tmp_path / "bert")
    validation = Path(shutil.copy(tiny["train_file"], tmp_path / "validation.jsonl"))
    given = {
        **tiny,
        "backbone": str(backbone),
        "validation_file": validation,
        "adapter": "frozen",
        "epochs": 2,
        "progress": True,
    }
    break_off(tmp_path / "model", **given)
    if change == "backbone":
        support.save_bert(backbone, seed=1)
    else:
        validation.write_text("".join(validation.read_text().splitlines(keepends=True)[1:]))
    expected = "began on other weights of" if change == "backbone" else "had other data"
    with pytest.raises(PolysenseError, match=expected):
        polysense.train(tmp_path / "model", resume=True, **given)
