"""Every family of text models as the backbone of every method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, ViTConfig, WhisperConfig, XLNetModel

import polysense
import tiny_backbones
import tiny_families
from polysense.errors import PolysenseError
from polysense.methods.catalog import METHODS
from polysense.models import PolysenseConfig, PolysenseForSequenceClassification, PolysenseProcessor
from polysense.models.backbone import build_backbone, load_backbone, token_states
from polysense.towers.packed_encoder import usable_length
from polysense.training.predict import Predictor
from support import recompute_activations
from tiny_backbones import FAMILIES

pytest_plugins = ("tiny_runs",)

POOLING = {"xlnet": "last", "t5": "mean", "gpt2": "last", "llama": "last", "qwen2": "last"}
"""Of the families that do not take the first token."""
TEXTS = ["the red cat sits", "a", "", "banana.", "is a dog on"]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's tiny model, made once."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = tiny_backbones.save_backbone(family, tmp_path_factory.mktemp(family))
        return made[family]

    return folder


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, folder_of: Callable[[str], Path]) -> Path:
    return folder_of(request.param)


def opened(folder: Path) -> tuple[PreTrainedModel, PolysenseProcessor]:
    return load_backbone(str(folder))[0].eval(), PolysenseProcessor.from_backbone(str(folder))


def text_model(folder: Path) -> PolysenseForSequenceClassification:
    torch.manual_seed(1)
    return PolysenseForSequenceClassification.from_backbone(str(folder), PolysenseConfig())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_train_save_load_predict(
    tmp_path: Path, tiny: dict[str, Any], folder_of: Callable[[str], Path], family: str, method: str
) -> None:
    output = tmp_path / "model"
    given = {**tiny, "backbone": str(folder_of(family)), "train_rows": 8}
    results = polysense.train(output, method=method, **given)
    assert 0 <= results["scores"]["validation"] <= 1
    predictor = Predictor.load(output)
    assert predictor.model.config.pooling == POOLING.get(family, "first")
    together = logits(predictor, TEXTS)
    assert together.isfinite().all()
    torch.testing.assert_close(together, torch.cat([logits(predictor, [t]) for t in TEXTS]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[4], atol=1e-4)  # texts are told apart
    assert logits(predictor, TEXTS, ["a dog"] * len(TEXTS)).isfinite().all()
    assert {p.label for p in predictor.predict(TEXTS)} <= {"long", "short"}


@torch.no_grad()
def logits(predictor: Predictor, *texts: list[str]) -> torch.Tensor:
    return predictor.model(**predictor.processor(*texts)).logits


@pytest.mark.parametrize("side", ["left", "right"])
def test_states_do_not_depend_on_padding(folder: Path, side: str) -> None:
    model, processor = opened(folder)
    rows = [processor.tokenize(text) for text in TEXTS]
    batch = processor.tokenizer.pad(rows, return_tensors="pt", padding_side=side)
    mask = batch["attention_mask"].bool()
    assert (mask[:, 0].all(), mask[:, -1].all()) == (side == "right", side == "left")
    with torch.no_grad():
        states = token_states(model, **batch)
        for row, text in enumerate(TEXTS):
            alone = model(**processor([text])).last_hidden_state[0]
            torch.testing.assert_close(states[row, mask[row]], alone, rtol=1e-4, atol=1e-5)


def test_saved_without_a_decoder_and_equal_after_loading(tmp_path: Path, folder: Path) -> None:
    model = text_model(folder).eval()
    source = AutoModel.from_pretrained(folder)
    source = source.get_encoder() if source.config.is_encoder_decoder else source
    expected, got = source.state_dict(), model.backbone.state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == set(model.state_dict())
    assert not any("decoder" in name for name in names)
    loaded = PolysenseForSequenceClassification.from_pretrained(tmp_path)
    inputs = PolysenseProcessor.from_backbone(str(folder))(TEXTS)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_gradient_checkpointing(folder: Path) -> None:
    model = text_model(folder).train()
    inputs = PolysenseProcessor.from_backbone(str(folder))(TEXTS)
    labels = torch.tensor([0, 1, 1, 0, 1])
    if isinstance(model.backbone, XLNetModel):
        with pytest.raises(ValueError, match="not compatible with gradient checkpointing"):
            recompute_activations(model)
        return
    gradients = []
    for enable in (False, True):
        if enable:
            recompute_activations(model)
            assert any(getattr(module, "gradient_checkpointing", False) for module in model.backbone.modules())
        model.zero_grad()
        torch.manual_seed(3)  # the same dropout
        model(**inputs, labels=labels).loss.backward()
        gradients.append({name: p.grad for name, p in model.backbone.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert len(gradients[0]) > 10
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_texts_of_the_usable_length_are_read(folder: Path) -> None:
    model, processor = opened(folder)
    longest = usable_length(model, processor.tokenizer)
    if model.config.model_type in ("xlnet", "t5"):
        assert longest > 10**9
        longest = 3 * tiny_backbones.POSITIONS
    else:
        assert longest == tiny_backbones.POSITIONS
    processor.max_length = longest
    inputs = processor(["cat dog " * 40])
    assert inputs["input_ids"].shape == (1, longest)
    with torch.no_grad():
        assert model(**inputs).last_hidden_state.isfinite().all()
    if model.config.model_type in ("bert", "roberta", "bart", "gpt2"):  # a table of positions, which ends there
        processor.max_length = longest + 1
        with pytest.raises((IndexError, RuntimeError)):
            model(**processor(["cat dog " * 40]))


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("gpt2")
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    processor = PolysenseProcessor.from_backbone(str(folder))
    assert processor.tokenizer.pad_token == processor.tokenizer.eos_token
    batch = processor(["cat", "", "cat cat"])
    assert batch["attention_mask"].sum(dim=1).tolist() == [1, 1, 3]  # an empty text is its end alone
    processor.save_pretrained(tmp_path)
    assert PolysenseProcessor.from_pretrained(tmp_path).tokenizer.pad_token == processor.tokenizer.eos_token
    endless = AutoTokenizer.from_pretrained(folder)
    endless.eos_token = None
    with pytest.raises(PolysenseError, match="neither a padding nor an end token"):
        PolysenseProcessor(endless)


def test_a_backbone_from_its_configuration(folder: Path) -> None:
    loaded, _ = load_backbone(str(folder))
    built = build_backbone(PolysenseConfig(backbone=loaded.config.to_dict()).backbone_config())
    assert type(built) is type(loaded)
    assert {n: p.shape for n, p in built.state_dict().items()} == {n: p.shape for n, p in loaded.state_dict().items()}


@pytest.mark.parametrize("save", [tiny_families.save_clap, tiny_families.save_siglip, tiny_families.save_whole_clip])
def test_contrastive_models_are_no_backbones(tmp_path: Path, save: Callable[[Path], Path], clip_folder: Path) -> None:
    for folder in (save(tmp_path), clip_folder):
        with pytest.raises(PolysenseError, match=r"contrastive .* give it as a tower"):
            load_backbone(str(folder))


def test_models_that_do_not_read_text_are_no_backbones(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    AutoModel.from_config(ViTConfig(**shape, image_size=8, patch_size=4)).save_pretrained(tmp_path / "vit")
    layers = {f"{part}_{what}": 1 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    whisper = WhisperConfig(d_model=16, vocab_size=60, **layers, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    AutoModel.from_config(whisper).save_pretrained(tmp_path / "whisper")
    for kind in ("vit", "whisper"):
        with pytest.raises(PolysenseError, match=f"a {kind} model does not read text"):
            load_backbone(str(tmp_path / kind))
