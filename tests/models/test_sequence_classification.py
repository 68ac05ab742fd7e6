"""Every method on a tiny BERT: shapes, losses, gradients, masks and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, BertModel, RobertaConfig, XLNetConfig

import support
from polysense.errors import PolysenseError
from polysense.methods.catalog import MethodConfig, method_config
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification
from polysense.models.backbone import load_backbone


def test_forward(make: Any, method: MethodConfig, kind: str) -> None:
    model = make.model(method, kind).eval()
    output = model(**make.batch(kind))
    assert output.logits.shape == ((5, 3) if kind == "classification" else (5,))
    if kind == "classification":
        torch.testing.assert_close(output.logits.exp().sum(dim=-1), torch.ones(5), **support.CLOSE)
    assert output.loss.shape == ()
    assert output.loss.isfinite()
    assert output.logits.isfinite().all()
    assert not any(loss.requires_grad for loss in output.losses.values())
    assert all(r.shape == (5, 16) for r in output.representations.values())
    expected = ["text", "image", "audio", "video"] if method.multimodal else ["text"]
    assert list(output.representations) == expected


def test_without_labels_there_is_no_loss(make: Any, method: MethodConfig, kind: str) -> None:
    model = make.model(method, kind).eval()
    output = model(**make.batch(kind, labels=False))
    assert output.loss is None
    assert output.losses == {}
    assert torch.equal(output.logits, model(**make.batch(kind)).logits)


def test_gradients_reach_every_parameter(make: Any, method: MethodConfig, kind: str) -> None:
    model = make.model(method, kind).train()
    model(**make.batch(kind)).loss.backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0}
    # BERT's own pooler is not used, nor are keys that no attention sees; text alone has no use for what it predicts.
    assert {n for n in without if "pooler" not in n} == set()


def test_gradient_checkpointing(make: Any, macsc: MethodConfig) -> None:
    model, batch = make.model(macsc, dropout=0.0), make.batch()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            support.recompute_activations(model)
            assert model.backbone.is_gradient_checkpointing
        model.zero_grad()
        torch.manual_seed(0)
        model.train()(**batch).loss.backward()
        gradients.append(model.backbone.embeddings.word_embeddings.weight.grad.clone())
    torch.testing.assert_close(*gradients, **support.CLOSE)


def test_dropout_is_on_every_representation(make: Any, macsc: MethodConfig) -> None:
    model = make.model(macsc, dropout=0.5).train()
    for r in model(**make.batch(labels=False)).representations.values():
        assert 0.2 < (r[:4] == 0).float().mean().item() < 0.8


def test_sentence_without_prototypes(make: Any, method: MethodConfig, kind: str) -> None:
    """Finite in a batch and alone, and the same in both; so are its gradients."""
    model = make.model(method, kind).eval()
    batch = make.batch(kind)
    alone = {
        name: {m: x[4:] for m, x in value.items()} if isinstance(value, dict) else value[4:]
        for name, value in make.without_entities(batch).items()
        if name != "graph"
    }
    alone["graph"] = make.without_entities(batch)["graph"]
    together, output = model(**batch), model(**alone)
    torch.testing.assert_close(output.logits, together.logits[4:], **support.CLOSE)
    output.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_padding_of_prototypes_is_not_read(make: Any, method: MethodConfig) -> None:
    model, batch = make.model(method).eval(), make.batch()
    before = model(**batch)
    for m, features in batch["prototypes"].items():
        features[~batch["prototype_masks"][m]] = 1e4
    after = model(**batch)
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.loss, after.loss)


def test_padding_of_text_on_the_left(make: Any, method: MethodConfig) -> None:
    """With the positions of the words kept, the side of the padding does not matter."""
    model, right = make.model(method).eval(), make.batch()
    left = dict(right)
    lengths = right["attention_mask"].sum(dim=1).tolist()
    left["input_ids"], left["attention_mask"] = (
        torch.stack([row.roll(9 - n) for row, n in zip(right[name], lengths, strict=True)])
        for name in ("input_ids", "attention_mask")
    )
    left["position_ids"] = torch.stack([torch.arange(9).roll(9 - n) for n in lengths])
    node, position = right["graph"]["words"]
    shifts = torch.tensor([9 - n for n in lengths])[right["graph"]["sentence"][node]]
    left["graph"] = {**right["graph"], "words": torch.stack([node, position + shifts])}
    assert left["attention_mask"][2].tolist() == [0] * 6 + [1] * 3
    torch.testing.assert_close(model(**left).logits, model(**right).logits, **support.CLOSE)
    torch.testing.assert_close(model(**left).loss, model(**right).loss, **support.CLOSE)


def test_without_a_mask_all_tokens_are_real(make: Any, method: MethodConfig) -> None:
    model, batch = make.model(method).eval(), make.batch()
    batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    expected = model(**batch).logits
    torch.testing.assert_close(model(**{**batch, "attention_mask": None}).logits, expected, **support.CLOSE)


def test_order_of_modalities_does_not_matter(make: Any, method: MethodConfig) -> None:
    """Neither of the widths given to a new model nor of the inputs."""
    batch, backwards = make.batch(), make.batch()
    backwards["prototypes"] = dict(reversed(backwards["prototypes"].items()))
    model = make.model(method).eval()
    other = make.model(method, widths={"video": 6, "audio": 10, "image": 6}).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(**batch).logits, model(**backwards).logits)
    assert torch.equal(model(**batch).logits, other(**backwards).logits)


def test_prototypes_that_are_missing(make: Any, macsc: MethodConfig) -> None:
    model = make.model(macsc)
    for name in ("prototypes", "prototype_masks"):
        batch = make.batch()
        del batch[name]["audio"]
        with pytest.raises(ValueError, match="no prototypes of audio were given: let PolysenseProcessor"):
            model(**batch)
    with pytest.raises(ValueError, match="no prototypes of image, audio, video were given"):
        model(input_ids=torch.tensor([[2, 6, 3]]))


def test_prototypes_of_another_width(make: Any, macsc: MethodConfig) -> None:
    batch = make.batch()
    batch["prototypes"]["audio"] = batch["prototypes"]["image"]
    with pytest.raises(RuntimeError, match="shapes"):
        make.model(macsc)(**batch)


def test_scene_graphs_that_are_missing(make: Any) -> None:
    batch = make.batch()
    del batch["graph"]
    with pytest.raises(ValueError, match="no scene graphs were given: let PolysenseProcessor"):
        make.model(method_config("mase"))(**batch)


def test_a_batch_without_entities(make: Any, method: MethodConfig, kind: str) -> None:
    model, batch = make.model(method, kind).eval(), make.batch(kind)
    output = model(**make.without_entities(batch))
    output.loss.backward()
    assert output.logits.isfinite().all()
    assert torch.equal(output.logits, model(**batch).logits) == (not method.uses_graph)


def test_the_towers_features_of_a_node_are_scaled_by_the_modalitys_weight(make: Any) -> None:
    """Section 3.5's balanced features: half the weight is half the feature."""
    model, batch = make.model(method_config("mase")).eval(), make.batch()
    seen = []
    model.interaction.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2].features))
    for z in ({"text": 4, "image": 2, "audio": 1, "video": 1}, {"text": 5, "image": 1, "audio": 1, "video": 1}):
        model.combination.update(z)
        model(**batch)
        for m, features in batch["graph"]["features"].items():
            torch.testing.assert_close(seen[-1][m], features * z[m] / 8)


@pytest.mark.parametrize("left_out", ["text", "image", "video"])
def test_what_is_left_out_has_no_say(make: Any, method: MethodConfig, left_out: str) -> None:
    if not method.multimodal or method.combination == "text":
        pytest.skip("text alone predicts: there is nothing to leave out")
    model, batch = make.model(method).eval(), make.batch(labels=False)
    before = model(**batch)
    output = model(**batch, leave_out={left_out})
    assert list(output.representations) == [m for m in ("text", "image", "audio", "video") if m != left_out]
    assert not torch.allclose(output.logits, before.logits)
    if left_out != "text":
        batch["prototypes"][left_out] += 1
        batch["graph"]["features"][left_out] += 1
        assert torch.equal(model(**batch, leave_out={left_out}).logits, output.logits)


def test_mixed_precision_keeps_the_method_in_single(make: Any, method: MethodConfig, kind: str) -> None:
    model, batch = make.model(method, kind).eval(), make.batch(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**batch)
    assert output.logits.dtype == torch.float32
    assert all(r.dtype == torch.float32 for r in output.representations.values())
    torch.testing.assert_close(output.loss, model(**batch).loss, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", ["mpb", "macsc", "mase"])
def test_method_without_a_tower(make: Any, name: str) -> None:
    with pytest.raises(PolysenseError, match=f"method '{name}' needs prototypes"):
        make.model(method_config(name), widths={})


@pytest.mark.parametrize("model_type", ["roberta", "xlnet"])
def test_other_backbones(tmp_path: Path, make: Any, macsc: MethodConfig, model_type: str) -> None:
    torch.manual_seed(0)
    if model_type == "roberta":
        config: Any = RobertaConfig(
            vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    else:
        config = XLNetConfig(vocab_size=60, d_model=16, n_layer=1, n_head=2, d_inner=16)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    model = type(make)(tmp_path).model(macsc)
    assert model.config.backbone["model_type"] == model_type
    assert model.config.pooling == ("last" if model_type == "xlnet" else "first")
    output = model(**make.batch())
    output.loss.backward()
    assert output.loss.isfinite()
    assert output.logits.shape == (5, 3)
    model.eval().save_pretrained(tmp_path / "saved")
    loaded = PolysenseForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    assert torch.equal(loaded(**make.batch()).logits, model(**make.batch()).logits)


def test_backbone_starts_from_its_pretrained_weights(make: Any, macsc: MethodConfig) -> None:
    pretrained = AutoModel.from_pretrained(make.folder).state_dict()
    model = make.model(macsc)
    assert isinstance(model.backbone, BertModel)
    assert all(torch.equal(pretrained[name], value) for name, value in model.backbone.state_dict().items())


def test_backbone_that_takes_the_mean(tmp_path: Path) -> None:
    folder = support.save_bert(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    assert load_backbone(str(folder))[1] == "mean"


def test_backbone_mistakes(tmp_path: Path, make: Any) -> None:
    with pytest.raises(PolysenseError, match="the folder holds no model that can be loaded"):
        load_backbone(str(tmp_path))
    make.model(method_config("text")).save_pretrained(tmp_path)
    with pytest.raises(PolysenseError, match="this is a trained Polysense model"):
        load_backbone(str(tmp_path))


def test_default_configuration_is_a_text_model() -> None:
    config = PolysenseConfig()
    assert config.method["name"] == "text"
    assert config.sizes().modalities == ["text"]
