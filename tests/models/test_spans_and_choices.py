"""Models of spans and of choices: what they are made of, and that they are saved and loaded whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMultipleChoice, AutoModelForQuestionAnswering

from polysense.methods.catalog import MethodConfig, method_config
from polysense.models import (
    PolysenseConfig,
    PolysenseForMultipleChoice,
    PolysenseForQuestionAnswering,
    PolysenseForSequenceClassification,
    PolysenseProcessor,
)

QUESTIONS = ["the cat", "a dog is"]
CONTEXTS = ["the dog sits on the mat", "a bird sings"]
CHOICES = [["red", "yellow", "a banana"], ["the mat", "dog", "red"]]
METHODS = [method_config(name) for name in ("text", "mpb", "macsc", "mase")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    import support

    root = tmp_path_factory.mktemp("tiny")
    return {"bert": str(support.save_bert(root / "bert")), "image": str(support.save_clip(root / "clip"))}


def build(folders: dict[str, str], cls: Any, method: MethodConfig, target: dict[str, Any]) -> tuple[Any, Any]:
    towers = {"image": folders["image"]} if method.multimodal else {}
    processor = PolysenseProcessor.from_backbone(
        folders["bert"], towers, store=False, scene_graphs=method.uses_graph, max_length=24
    )
    config = PolysenseConfig(method=method.to_dict(), widths=processor.widths, target=target, num_labels=1)
    torch.manual_seed(1)
    return cls.from_backbone(folders["bert"], config).eval(), processor


def choice_inputs(processor: PolysenseProcessor) -> dict[str, Any]:
    from polysense.training.problems.choices import collate_choices

    rows = [
        {"pairs": [(q, c) for c in some], "tokens": [processor.tokenize((q, c)) for c in some], "label": 1}
        for q, some in zip(QUESTIONS, CHOICES, strict=True)
    ]
    rows[1] = {**rows[1], "pairs": rows[1]["pairs"][:2], "tokens": rows[1]["tokens"][:2]}
    return collate_choices(processor, rows)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_a_choice_is_scored_as_its_pair_alone_would_be(folders: dict[str, str], method: MethodConfig) -> None:
    """Before the choices compete, each logit is what a classifier with the same weights gives for the pair."""
    model, processor = build(folders, PolysenseForMultipleChoice, method, {"kind": "choice", "frequency": None})
    output = model(**choice_inputs(processor))
    target = {"kind": "regression", "mean": 0.0, "std": 1.0, "edges": [], "centres": [0.0], "frequency": [1.0]}
    single = PolysenseForSequenceClassification(
        PolysenseConfig(
            backbone=model.config.backbone,
            pooling=model.config.pooling,
            method=method.to_dict(),
            widths=processor.widths,
            target=target,
            num_labels=1,
        )
    ).eval()
    single.load_state_dict(model.state_dict())
    alone = single(**processor(["the cat"] * 3, CHOICES[0])).modality_logits
    for m, logits in output.modality_logits.items():
        torch.testing.assert_close(logits[0], alone[m][:, 0], rtol=1e-4, atol=1e-5)
    assert output.logits.shape == (2, 3)
    torch.testing.assert_close(output.logits.exp().sum(dim=1), torch.ones(2))
    assert output.logits[1, 2].exp() == 0  # it has two choices


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_a_span_is_looked_for_among_candidates_alone(folders: dict[str, str], method: MethodConfig) -> None:
    model, processor = build(folders, PolysenseForQuestionAnswering, method, {"kind": "span", "frequency": None})
    inputs = processor(QUESTIONS, CONTEXTS)
    candidates = inputs["token_type_ids"].bool() & inputs["attention_mask"].bool()
    p = model(**inputs, candidates=candidates).logits.exp()
    assert p.shape == (2, 1 + candidates.shape[1], 2)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(2, 2))
    assert (p[:, 1:][~candidates] == 0).all() and (p[:, 1:][candidates] > 0).all() and (p[:, 0] > 0).all()


@pytest.mark.parametrize("kind", ["span", "choice"])
def test_towers_alone_train_the_backbone_to_point_but_not_to_choose(folders: dict[str, str], kind: str) -> None:
    """Why MaCSC Figure 4 is not of SQuAD here: a tower alone points to no part of a text."""
    cls, target = {
        "span": (PolysenseForQuestionAnswering, {"kind": "span", "frequency": None}),
        "choice": (PolysenseForMultipleChoice, {"kind": "choice"}),
    }[kind]
    model, processor = build(folders, cls, method_config("tower"), target)
    inputs = dict(processor(QUESTIONS, CONTEXTS)) if kind == "span" else choice_inputs(processor)
    model(**inputs).logits.flatten(1)[:, 0].sum().backward()
    reached = any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
    assert reached is (kind == "span")


@pytest.mark.parametrize("method", METHODS[1:], ids=lambda m: m.name)
def test_prototypes_change_which_span_is_likely(folders: dict[str, str], method: MethodConfig) -> None:
    model, processor = build(folders, PolysenseForQuestionAnswering, method, {"kind": "span", "frequency": None})
    inputs = dict(processor(QUESTIONS, CONTEXTS))
    before = model(**inputs).logits
    without = model(**inputs, leave_out={"image"}).logits
    inputs["prototypes"] = {"image": inputs["prototypes"]["image"] + 1.0}
    after = model(**inputs).logits
    # Not only the balance of place 0 and the rest, but of the tokens among themselves.
    for other in (without, after):
        assert not torch.allclose(before[0, 2] - before[0, 3], other[0, 2] - other[0, 3], atol=1e-4)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("kind", ["span", "choice"])
def test_saved_and_loaded_by_the_auto_class(
    folders: dict[str, str], tmp_path: Path, method: MethodConfig, kind: str
) -> None:
    cls, auto = {
        "span": (PolysenseForQuestionAnswering, AutoModelForQuestionAnswering),
        "choice": (PolysenseForMultipleChoice, AutoModelForMultipleChoice),
    }[kind]
    model, processor = build(folders, cls, method, {"kind": kind, "frequency": None})
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path).eval()
    assert type(loaded) is cls
    inputs = choice_inputs(processor) if kind == "choice" else dict(processor(QUESTIONS, CONTEXTS))
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["macsc", "mase"])
@pytest.mark.parametrize("frequency", [None, [0.5, 0.5]])
def test_every_term_of_the_loss_reaches_the_method(
    folders: dict[str, str], name: str, frequency: list[float] | None
) -> None:
    target = {"kind": "span", "frequency": frequency}
    model, processor = build(folders, PolysenseForQuestionAnswering, method_config(name), target)
    inputs = processor(QUESTIONS, CONTEXTS)
    output = model(**inputs, labels=torch.tensor([[5, 6], [0, 0]]))
    assert set(output.losses) == {"prediction", "contrast"}
    output.loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # With one auxiliary modality pi_z is 1 whatever z; the pooler and unread kinds of relations have no part.
    known = ("regulariser.coarse", "backbone.pooler", "backbone.embeddings", "interaction.attention", "query", "key")
    assert not [n for n in silent if not any(part in n for part in known)], silent


def test_a_choice_is_compared_by_its_right_pair(folders: dict[str, str]) -> None:
    target = {"kind": "choice", "frequency": None}
    model, _ = build(folders, PolysenseForMultipleChoice, method_config("macsc"), target)
    pooled = {"text": torch.arange(12.0).view(2, 3, 2)}
    assert model.compared(pooled, torch.tensor([2, 0]))["text"].tolist() == [[4.0, 5.0], [6.0, 7.0]]
