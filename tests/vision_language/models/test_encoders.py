"""CMAL's encoders: hyperspheres, padding, order of regions, BERT's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from polysense.errors import PolysenseError
from polysense.vision_language.models.cmal import CmalModel
from support import recompute_activations
from vision_language.support import CLS, PAD, SEP, VOCABULARY, D, encoder_inputs, tiny_batch, tiny_config

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def make(seed: int = 0, implementation: str = "sdpa", **changes: object) -> CmalModel:
    torch.manual_seed(seed)
    config = tiny_config(**changes)
    config._attn_implementation = implementation
    return CmalModel(config).eval()


def states(model: CmalModel, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        output = model(**inputs)
    return output.last_hidden_state, output.region_states


def test_contents_lie_on_hyperspheres_in_the_paper() -> None:
    model = make()
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name:
            torch.nn.init.normal_(parameter)
    sides = model.sides(**encoder_inputs(tiny_batch()))
    for contents in (sides.words, sides.regions):
        torch.testing.assert_close(contents.norm(dim=-1), torch.full(contents.shape[:2], D**0.5))


def test_released_swaps_embeddings() -> None:
    model = make(variant="released")
    assert not any("text_encoder" in name or "visual_encoder" in name for name, _ in model.named_parameters())
    inputs = encoder_inputs(tiny_batch())
    sides = model.sides(**inputs)
    assert torch.equal(sides.words, model.words.weight[inputs["input_ids"]])
    content = model.region_content
    linear = inputs["region_features"] @ content.project.weight.T + content.project.bias
    torch.testing.assert_close(sides.regions[:, 1:], F.layer_norm(linear, (D,), eps=1e-12))
    assert torch.equal(sides.regions[:, 0], content.picture.expand(3, -1))


def test_the_picture_stands_at_the_whole_of_it() -> None:
    sides = make().sides(**encoder_inputs(tiny_batch()))
    assert sides.locations[:, 0].tolist() == [[0, 0, 1, 1, 1, 1, 1]] * 3
    assert sides.region_mask[:, 0].all()
    assert torch.equal(sides.region_mask[:, 1:], tiny_batch()["region_mask"])


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_padding_changes_nothing(variant: str, implementation: str) -> None:
    model = make(variant=variant, implementation=implementation)
    assert model.unified_encoder.config._attn_implementation == implementation
    inputs = encoder_inputs(tiny_batch())
    padded = {
        "input_ids": F.pad(inputs["input_ids"], (0, 3), value=7),
        "attention_mask": F.pad(inputs["attention_mask"], (0, 3)),
        "region_features": F.pad(inputs["region_features"], (0, 0, 0, 2), value=3.0),
        "region_locations": F.pad(inputs["region_locations"], (0, 0, 0, 2), value=0.5),
        "region_mask": F.pad(inputs["region_mask"], (0, 2)),
    }
    words, regions = states(model, inputs)
    more_words, more_regions = states(model, padded)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(more_words[:, :9][real], words[real], **CLOSE)
    present = F.pad(inputs["region_mask"], (1, 0), value=True)
    torch.testing.assert_close(more_regions[:, :6][present], regions[present], **CLOSE)


def test_attention_implementations_agree() -> None:
    inputs = encoder_inputs(tiny_batch())
    real, present = inputs["attention_mask"].bool(), F.pad(inputs["region_mask"], (1, 0), value=True)
    words, regions = states(make(implementation="sdpa"), inputs)
    slow_words, slow_regions = states(make(implementation="eager"), inputs)
    torch.testing.assert_close(words[real], slow_words[real], **CLOSE)
    torch.testing.assert_close(regions[present], slow_regions[present], **CLOSE)


def test_each_side_reaches_the_other() -> None:
    model, batch = make(), encoder_inputs(tiny_batch())
    changed = {**batch, "region_features": batch["region_features"] + 1}
    assert ((states(model, batch)[0] - states(model, changed)[0]).abs().amax(dim=2) > 1e-4).all()


def test_order_of_regions_does_not_matter() -> None:
    model = make()
    inputs = encoder_inputs(tiny_batch(phrases=({}, {}), lengths=(6, 6), counts=(5, 5)))
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = {name: value[:, order] if name.startswith("region") else value for name, value in inputs.items()}
    words, regions = states(model, inputs)
    same_words, turned_regions = states(model, turned)
    torch.testing.assert_close(same_words, words, **CLOSE)
    torch.testing.assert_close(turned_regions[:, 1:], regions[:, 1:][:, order], **CLOSE)
    torch.testing.assert_close(turned_regions[:, 0], regions[:, 0], **CLOSE)


def test_order_of_words_matters() -> None:
    model, inputs = make(), encoder_inputs(tiny_batch())
    turned = {**inputs, "input_ids": inputs["input_ids"].clone()}
    turned["input_ids"][:, 1:3] = inputs["input_ids"][:, [2, 1]]
    assert (states(model, inputs)[0][:, 0] - states(model, turned)[0][:, 0]).abs().max() > 1e-3


def test_a_picture_without_regions() -> None:
    inputs = encoder_inputs(tiny_batch(phrases=({}, {}), lengths=(6, 5), counts=(0, 0)))
    words, regions = states(make(), inputs)
    assert words.shape == (2, 6, D) and regions.shape == (2, 1, D)
    assert words.isfinite().all() and regions.isfinite().all()


@pytest.mark.parametrize("changed", ["wider", "narrower"])
def test_features_of_another_width_are_refused(changed: str) -> None:
    inputs = encoder_inputs(tiny_batch(width=7 if changed == "wider" else 5))
    with pytest.raises(PolysenseError, match=r"features [57] wide, but this model reads 6") as error:
        make()(**inputs)
    assert "\n" not in str(error.value)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    inputs = encoder_inputs(tiny_batch())
    gradients = []
    for checkpointing in (False, True):
        model = make().train()
        if checkpointing:
            recompute_activations(model)
            assert all(layer.gradient_checkpointing for layer in model.unified_encoder.layer)
        model(**inputs).last_hidden_state.square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(gradients[0], gradients[1])


def save_bert(folder: Path, layers: int) -> BertModel:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=D,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=20,
        max_position_embeddings=12,
        initializer_range=0.4,
    )
    bert = BertModel(config).eval()
    for parameter in bert.embeddings.LayerNorm.parameters():
        torch.nn.init.normal_(parameter)
    bert.save_pretrained(folder)
    return bert


def test_text_encoder_is_the_first_layers_of_the_bert(tmp_path: Path) -> None:
    bert = save_bert(tmp_path, 4)
    model = CmalModel.from_bert(str(tmp_path), tiny_config(text_layers=2, unified_layers=2)).eval()
    assert model.config.layer["num_attention_heads"] == 4 and model.config.max_position_embeddings == 12
    ids = torch.tensor([[CLS, 9, 30, 11, SEP], [CLS, 7, SEP, PAD, PAD]])
    mask = (ids != PAD).long()
    with torch.no_grad():
        expected = bert(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        embedded = model.uni_places.words(model.words(ids))
        got = model._encode(model.text_encoder, embedded, mask.bool()[:, None, :])
        # From the BERT's own embeddings, since a sum in another order is rounded otherwise.
        exact = model._encode(model.text_encoder, expected[0], mask.bool()[:, None, :])
        # Behind the next two layers lies what the whole BERT gives.
        whole = model._encode(model.unified_encoder, exact, mask.bool()[:, None, :])
    real = mask.bool()
    torch.testing.assert_close(embedded[real], expected[0][real], **CLOSE)
    torch.testing.assert_close(got[real], expected[2][real], **CLOSE)
    assert torch.equal(exact[real], expected[2][real])
    assert torch.equal(whole[real], expected[4][real])


@pytest.mark.parametrize(("variant", "sources"), [("paper", [2, 0, 1]), ("released", [0, 1, 2])])
def test_unified_encoder_takes_the_next_layers(tmp_path: Path, variant: str, sources: list[int]) -> None:
    bert = save_bert(tmp_path, 3)
    model = CmalModel.from_bert(str(tmp_path), tiny_config(variant=variant, text_layers=2, unified_layers=3))
    for layer, source in zip(model.unified_encoder.layer, sources, strict=True):
        expected = bert.encoder.layer[source].state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in layer.state_dict().items())
    assert torch.equal(model.words.weight, bert.embeddings.word_embeddings.weight)
    assert torch.equal(model.places.positions.weight, bert.embeddings.position_embeddings.weight)
    assert torch.equal(model.places.norm.weight, bert.embeddings.LayerNorm.weight)
    assert torch.equal(model.places.types.weight[0], bert.embeddings.token_type_embeddings.weight[0])
    assert not torch.equal(model.places.types.weight[1], bert.embeddings.token_type_embeddings.weight[1])


def test_layers_taken_from_a_bert_are_copies(tmp_path: Path) -> None:
    """A BERT with too few layers gives one layer to two places, which then learn apart."""
    save_bert(tmp_path, 1)
    model = CmalModel.from_bert(str(tmp_path), tiny_config(text_layers=1, unified_layers=2))
    first, second = (layer.attention.output.dense.weight for layer in model.unified_encoder.layer)
    assert torch.equal(first, second) and first.data_ptr() != second.data_ptr()


def test_another_family_is_refused(tmp_path: Path) -> None:
    DistilBertModel(DistilBertConfig(vocab_size=30, dim=8, n_heads=2, n_layers=1, hidden_dim=8)).save_pretrained(
        tmp_path
    )
    with pytest.raises(PolysenseError, match=r"a distilbert model; CMAL starts from a BERT") as error:
        CmalModel.from_bert(str(tmp_path), tiny_config())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "papers"}, "variant 'papers': choose one of paper, released"),
        ({"swap": "none"}, "swap 'none': choose one of both, text, region, either"),
        ({"mask_words": 1.5}, "mask_words must be from 0 to 1"),
        ({"mask_regions": -0.1}, "mask_regions must be from 0 to 1"),
        ({"region_width": 0}, "region_width must be at least 1"),
        ({"unified_layers": 0}, "unified_layers must be at least 1"),
        ({"text_layers": 0}, "text_layers must be at least 1"),
        ({"projection": 0}, "projection must be at least 1"),
        ({"contrast_temperature": 0}, "contrast_temperature must be from 0.001 to 0.5"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PolysenseError, match=message):
        tiny_config(**changes)
