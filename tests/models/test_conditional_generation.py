"""Text generation: what the decoder reads, that plain models stay plain, and that models are saved and loaded whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

import support
from polysense.errors import PolysenseError
from polysense.methods.catalog import MethodConfig, method_config
from polysense.models import PolysenseConfig, PolysenseForConditionalGeneration, PolysenseProcessor
from polysense.models.new_backbone import small_encoder_decoder
from tiny_backbones import save_backbone

NAMES = ("text", "mpb", "macsc", "mase")
TEXTS = ["the red cat sits", "a cat", "the yellow bird sings"]
TARGETS = ["a cat is red", "the dog sits on a mat", "bird"]
SEARCH = {"num_beams": 3, "max_new_tokens": 7}


@pytest.fixture(scope="module", params=["t5", "bart"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_backbone(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def build(folder: Path, tower: Path, method: MethodConfig | str, **settings: Any) -> tuple[Any, Any, dict[str, Any]]:
    """A model, its processor, and the inputs of `TEXTS` with labels."""
    method = method_config(method) if isinstance(method, str) else method
    towers = dict.fromkeys(("image", "audio"), str(tower)) if method.multimodal else {}
    processor = PolysenseProcessor.from_backbone(
        str(folder), towers, store=False, scene_graphs=method.uses_graph, max_length=24
    )
    config = PolysenseConfig(
        method=method.to_dict(), widths=processor.widths, target={"kind": "generation"}, **settings
    )  # fmt: skip
    torch.manual_seed(3)
    model = PolysenseForConditionalGeneration.from_backbone(str(folder), config).eval()
    inputs = dict(processor(TEXTS))
    inputs["labels"] = labels_of(processor)
    return model, processor, inputs


def labels_of(processor: PolysenseProcessor) -> torch.Tensor:
    targets = [torch.tensor(processor.tokenizer(text)["input_ids"]) for text in TARGETS]
    return torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100)


def without_labels(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != "labels"}


def row(inputs: dict[str, Any], i: int) -> dict[str, Any]:
    length = int(inputs["attention_mask"][i].sum())
    one: dict[str, Any] = {n: inputs[n][i : i + 1, :length] for n in ("input_ids", "attention_mask")}
    for n in ("prototypes", "prototype_masks"):
        if n in inputs:
            one[n] = {m: values[i : i + 1] for m, values in inputs[n].items()}
    if "labels" in inputs:
        one["labels"] = inputs["labels"][i : i + 1]
    return one


def test_text_alone_is_the_backbone_itself(folder: Path, clip_folder: Path) -> None:
    model, _, inputs = build(folder, clip_folder, "text")
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    expected = plain(**inputs)
    got = model(**inputs)
    assert torch.equal(got.loss, expected.loss)
    assert torch.equal(got.logits, expected.logits)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in plain.parameters())
    for search in (SEARCH, {"max_new_tokens": 7}):
        written = plain.generate(**without_labels(inputs), **search)
        assert torch.equal(model.generate(**without_labels(inputs), **search), written)


def test_text_alone_is_trained_as_the_backbone_is(folder: Path, clip_folder: Path) -> None:
    model, _, inputs = build(folder, clip_folder, "text")
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder)
    model.train()
    plain.train()
    losses = []
    for trained in (model, plain):
        torch.manual_seed(0)  # of dropout
        losses.append(trained(**inputs).loss)
        losses[-1].backward()
    assert torch.equal(*losses)
    gradients = dict(plain.named_parameters())
    for name, parameter in model.backbone.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, **support.CLOSE)


def test_the_loss_is_the_mean_over_tokens_that_there_are(folder: Path, clip_folder: Path, name: str) -> None:
    model, _, inputs = build(folder, clip_folder, name)
    output = model(**inputs)
    log_p = F.log_softmax(output.logits, dim=-1)
    losses = [
        -log_p[i, t, token] for i, labels in enumerate(inputs["labels"].tolist()) for t, token in enumerate(labels)
        if token != -100
    ]  # fmt: skip
    torch.testing.assert_close(output.loss, torch.stack(losses).mean(), **support.CLOSE)
    assert set(output.losses) == {"prediction"}  # no contrast, whatever the method has elsewhere
    assert model.regulariser is None


def test_a_batch_gives_what_its_rows_give_alone(folder: Path, clip_folder: Path, name: str) -> None:
    model, processor, inputs = build(folder, clip_folder, name)
    written = model.generate(**without_labels(inputs), **SEARCH)
    logits = model(**inputs).logits
    for i, text in enumerate(TEXTS):
        alone = dict(processor([text]))
        one = model.generate(**alone, **SEARCH)[0]
        assert torch.equal(written[i, : len(one)], one)
        real = inputs["labels"][i] != -100
        got = model(**alone, labels=inputs["labels"][i : i + 1]).logits[0]
        torch.testing.assert_close(logits[i][real], got[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_decoder_sees_the_prototypes_that_there_are(folder: Path, clip_folder: Path, name: str) -> None:
    model, _, inputs = build(folder, clip_folder, name)
    before = model(**inputs).logits

    def changed(where: torch.Tensor) -> torch.Tensor:
        block = inputs["prototypes"]["image"]
        other = torch.where(where[..., None], block + 2.0, block)
        return model(**{**inputs, "prototypes": {**inputs["prototypes"], "image": other}}).logits

    mask = inputs["prototype_masks"]["image"]
    assert mask.any(dim=1).all() and not mask.all()
    after = changed(mask)
    assert all(not torch.allclose(before[i], after[i], atol=1e-4) for i in range(len(TEXTS)))
    assert torch.equal(changed(~mask), before)


def test_leaving_out_modalities(folder: Path, clip_folder: Path) -> None:
    model, _, inputs = build(folder, clip_folder, "macsc")
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    text = plain(**{n: inputs[n] for n in ("input_ids", "attention_mask", "labels")}).logits
    torch.testing.assert_close(model(**inputs, leave_out=("image", "audio")).logits, text, rtol=1e-4, atol=1e-4)
    whole, some = model(**inputs).logits, model(**inputs, leave_out=("audio",)).logits
    assert not torch.allclose(whole, some, atol=1e-4)
    # The prototypes of what is left out are not looked at.
    other = {**inputs["prototypes"], "audio": inputs["prototypes"]["audio"] + 1.0}
    assert torch.equal(model(**{**inputs, "prototypes": other}, leave_out=("audio",)).logits, some)
    for left in (("text",), ("text", "image", "audio")):
        assert model(**inputs, leave_out=left).logits.isfinite().all()
        written = model.generate(**without_labels(inputs), leave_out=left, **SEARCH)
        assert len(written) == len(TEXTS)


def test_macsc_memory_is_eq2s_rows_of_the_prototypes(folder: Path, clip_folder: Path) -> None:
    """By hand for one text: the rows of Eq. 2 that stand for its prototypes, then the decoder over both."""
    method = method_config("macsc").with_options({"heads": 4, "residual": False})
    model, _, inputs = build(folder, clip_folder, method)
    layer = model.interaction
    one = row(inputs, 1)
    states = model.backbone.get_encoder()(
        input_ids=one["input_ids"], attention_mask=one["attention_mask"]
    ).last_hidden_state[0]  # fmt: skip
    memory = [states]
    for m in ("image", "audio"):
        projected = one["prototypes"][m][0] @ layer.project.layers[m].weight.T + layer.project.layers[m].bias
        real = [True] * len(states) + one["prototype_masks"][m][0].tolist()
        weights = layer.query.weight, layer.key.weight, layer.value.weight
        enhanced = support.slow_attention(torch.cat([states, projected]), real, *weights, heads=4)
        rows = enhanced[len(states) :][one["prototype_masks"][m][0]]
        torch.testing.assert_close(model.parts(**one)[m].features[0][: len(rows)], rows, **support.CLOSE)
        memory.append(rows)
    by_hand = torch.cat(memory)[None]
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    expected = plain(encoder_outputs=(by_hand,), labels=one["labels"])
    torch.testing.assert_close(model(**one).loss, expected.loss, rtol=1e-4, atol=1e-4)


def test_mase_scales_prototypes_by_their_weight_and_even_weights_change_nothing(
    folder: Path, clip_folder: Path
) -> None:
    model, _, inputs = build(folder, clip_folder, "mase")
    ablated, _, _ = build(folder, clip_folder, method_config("mase", combination="even"))
    ablated.load_state_dict(model.state_dict(), strict=False)
    assert model.combination.weights() == pytest.approx(dict.fromkeys(("text", "image", "audio"), 1 / 3))
    torch.testing.assert_close(model(**inputs).logits, ablated(**inputs).logits, **support.CLOSE)
    model.combination.update({"text": 2.0, "image": 1.5, "audio": 0.5})
    parts = model.parts(**inputs)
    text, image, audio = model.scaled(parts)
    torch.testing.assert_close(text.features, parts["text"].features)
    torch.testing.assert_close(image.features, 3 * 0.375 * parts["image"].features)
    torch.testing.assert_close(audio.features, 3 * 0.125 * parts["audio"].features)
    # The weight of what is left out falls to the others.
    _, audio = model.scaled(parts, leave_out=("image",))
    torch.testing.assert_close(audio.features, 2 * 0.2 * parts["audio"].features)


def test_saved_and_loaded_whole(folder: Path, clip_folder: Path, tmp_path: Path, name: str) -> None:
    model, _, inputs = build(folder, clip_folder, name, generation=SEARCH)
    if name == "mase":
        model.combination.update({"text": 2.0, "image": 1.0, "audio": 1.0})
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert len([n for n in stored if n.endswith(("lm_head.weight", "embed_tokens.weight", "shared.weight"))]) == 1
    assert ("combination.z" in stored) == (name == "mase")
    for cls in (PolysenseForConditionalGeneration, AutoModelForSeq2SeqLM):
        loaded = cls.from_pretrained(tmp_path)
        assert type(loaded) is PolysenseForConditionalGeneration and not loaded.training
        before, after = model.state_dict(), loaded.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[n], after[n]) for n in before)
        tied = loaded.backbone.get_output_embeddings().weight
        assert tied is loaded.backbone.get_encoder().get_input_embeddings().weight
        assert torch.equal(loaded(**inputs).loss, model(**inputs).loss)
        for given in ({}, {"num_beams": 1}):
            written = model.generate(**without_labels(inputs), **given)
            assert torch.equal(loaded.generate(**without_labels(inputs), **given), written)
        assert loaded.config.generation == model.config.generation


def test_a_backbones_own_ways_to_generate_hold_where_nothing_is_said(folder: Path, tmp_path: Path) -> None:
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder)
    settings = {"no_repeat_ngram_size": 2, "max_length": 5, "min_length": 3, "num_beams": 4}
    plain.generation_config = GenerationConfig.from_dict({**plain.generation_config.to_diff_dict(), **settings})
    config = PolysenseConfig(target={"kind": "generation"}, generation={"max_new_tokens": 9, "num_beams": 2})
    model = PolysenseForConditionalGeneration.around(plain, config)
    model.save_pretrained(tmp_path)
    used = PolysenseForConditionalGeneration.from_pretrained(tmp_path).backbone.generation_config
    assert (used.no_repeat_ngram_size, used.num_beams, used.max_new_tokens) == (2, 2, 9)
    assert used.max_length is None and not used.min_length
    assert used.decoder_start_token_id == plain.config.decoder_start_token_id


def test_gradients_reach_all_and_are_the_same_when_recomputed(folder: Path, clip_folder: Path, name: str) -> None:
    model, _, inputs = build(folder, clip_folder, name)
    # Gradients are recomputed in training alone; without dropout both ways are the same.
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for part in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, part, None), float):
                setattr(module, part, 0.0)
    model.train()
    found = []
    for recompute in (False, True):
        if recompute:
            support.recompute_activations(model)
        model.zero_grad()
        model(**inputs).loss.backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for n, gradient in found[0].items():
        torch.testing.assert_close(found[1][n], gradient, rtol=1e-4, atol=1e-5)
    # A decoder asks nothing of what the text itself would add to its words (MASE's part of the text): it is frozen.
    assert {n for n, p in model.named_parameters() if p.requires_grad} == found[0].keys()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == ({"interaction.from_node.text.weight"} if name == "mase" else set())


def test_what_cannot_write_is_refused_in_a_line(clip_folder: Path, bert_folder: Path, folder: Path) -> None:
    with pytest.raises(PolysenseError, match="a bert model has no decoder that writes texts; name an encoder-decoder"):
        build(bert_folder, clip_folder, "text")
    with pytest.raises(PolysenseError, match="towers alone write no text"):
        build(folder, clip_folder, "tower")
    with pytest.raises(PolysenseError, match="adapter prompt: "):
        build(folder, clip_folder, "text", adapter={"kind": "prompt"})
    model, _, inputs = build(folder, clip_folder, "text")
    with pytest.raises(ValueError, match="no labels were given"):
        model(**without_labels(inputs))


@pytest.mark.parametrize("kind", ["lora", "ia3", "frozen"])
def test_adapters_go_into_encoder_and_decoder(folder: Path, clip_folder: Path, tmp_path: Path, kind: str) -> None:
    if kind != "frozen":
        pytest.importorskip("peft")
    model, _, inputs = build(folder, clip_folder, "macsc", adapter={"kind": kind}, generation=SEARCH)
    trained = {n for n, p in model.named_parameters() if p.requires_grad and n.startswith("backbone.")}
    assert bool(trained) == (kind != "frozen")
    if trained:
        assert any(".encoder." in n for n in trained) and any(".decoder." in n for n in trained)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n in trained:
                p.add_(0.3 * torch.randn(p.shape))
    model.save_pretrained(tmp_path)
    loaded = PolysenseForConditionalGeneration.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)
    assert torch.equal(loaded.generate(**without_labels(inputs)), model.generate(**without_labels(inputs)))


def test_a_new_backbone_is_one_that_reads_and_writes_its_texts(tmp_path: Path, clip_folder: Path) -> None:
    texts = support.sentences(200, 6)
    random = torch.get_rng_state()
    told = small_encoder_decoder(tmp_path / "a", texts, width=16, layers=2, heads=2, vocabulary=60, seed=1)
    assert torch.equal(random, torch.get_rng_state())
    small_encoder_decoder(tmp_path / "b", texts, width=16, layers=2, heads=2, vocabulary=60, seed=1)
    weights = load_file(tmp_path / "a" / "model.safetensors")
    again = load_file(tmp_path / "b" / "model.safetensors")
    assert all(torch.equal(weights[n], again[n]) for n in weights)
    assert (tmp_path / "a" / "tokenizer.json").read_text() == (tmp_path / "b" / "tokenizer.json").read_text()
    model, processor, inputs = build(tmp_path / "a", clip_folder, "mpb")
    assert told["vocabulary"] == len(processor.tokenizer) == model.backbone.config.vocab_size <= 60
    for text in (*texts[:20], "the cat"):
        ids = processor.tokenizer(text)["input_ids"]
        assert ids[-1] == model.backbone.config.eos_token_id
        assert processor.tokenizer.unk_token_id not in ids
        assert processor.tokenizer.decode(ids, skip_special_tokens=True).strip() == text
    assert model(**inputs).loss.isfinite()
    with pytest.raises(PolysenseError, match="already holds a result"):
        small_encoder_decoder(tmp_path / "a", texts)
    with pytest.raises(PolysenseError, match="cannot be split into 3 heads"):
        small_encoder_decoder(tmp_path / "c", texts, width=16, heads=3)
    with pytest.raises(PolysenseError, match="there are no texts"):
        small_encoder_decoder(tmp_path / "c", ["", " "])
