"""What a user sees of weights that are loaded: nothing where all is as it should be, one line where it is not."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining
from transformers.utils import logging as transformers_logging

import support
from polysense import loading
from polysense.errors import PolysenseError
from polysense.folder import CHECKSUMS
from polysense.loading import hub_errors, load_weights
from polysense.models import PolysenseForSequenceClassification
from polysense.models.backbone import load_backbone
from polysense.models.configuration import PolysenseConfig
from polysense.models.encoder_decoder import build_encoder_decoder, load_encoder_decoder
from polysense.models.new_backbone import small_encoder_decoder
from polysense.models.processing import PolysenseProcessor
from polysense.retrieval.encoders import ClipPictures
from polysense.towers.registry import open_tower
from polysense.towers.tower import load_tokenizer
from polysense.vision_language.detection.hugging_face import HuggingFaceDetector
from polysense.vision_language.models.cmal import CmalModel

SHOWN = ("LOAD REPORT", "MISSING", "UNEXPECTED")


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """A model's folder with other weights in it."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})
    return folder


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A BERT as its masked-word training leaves it: with a head, without a pooler."""
    folder = support.save_bert(tmp_path / "masked")
    BertForMaskedLM(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("opened", [load_backbone, lambda spec: open_tower(f"encoder:{spec}")])
def test_a_head_too_many_and_a_pooler_too_few_are_not_shown(
    opened: Callable[[str], object], masked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    both = support.save_bert(tmp_path / "both")
    BertForPreTraining(BertConfig.from_pretrained(both)).save_pretrained(both)
    for folder in (masked, both):
        opened(str(folder))
    captured = capfd.readouterr()
    assert not any(word in captured.out + captured.err for word in SHOWN)
    assert not caplog.records


@pytest.mark.parametrize("opened", [load_backbone, lambda spec: open_tower(f"encoder:{spec}")])
def test_a_weight_that_is_read_and_not_there_is_said_in_one_line(
    opened: Callable[[str], object], masked: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "bert.encoder.layer.1.output.dense.weight"
    opened(str(changed(masked, lambda weights: weights.pop(name))))
    (record,) = caplog.records
    line = record.getMessage()
    assert f"{masked}: 1 of its weights are not in its files and start at random" in line
    assert line.endswith("encoder.layer.1.output.dense.weight")


def test_another_shape_is_an_error_that_says_which(masked: Path) -> None:
    name = "bert.encoder.layer.1.output.dense.bias"
    folder = changed(masked, lambda weights: weights.update({name: torch.zeros(5)}))
    for opened in (load_backbone, lambda spec: open_tower(f"encoder:{spec}")):
        with pytest.raises(PolysenseError, match=r"layer\.1\.output\.dense\.bias is of shape \(5,\) where .* \(16,\)"):
            opened(str(folder))


def test_so_is_it_for_texts_that_are_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "t5"
    small_encoder_decoder(folder, ["the cat sits"], width=8, layers=1, heads=2, vocabulary=50)
    load_encoder_decoder(str(folder))
    assert not caplog.records
    (folder / CHECKSUMS).unlink()
    name = "decoder.block.0.layer.2.DenseReluDense.wo.weight"
    load_encoder_decoder(str(changed(folder, lambda weights: weights.pop(name))))
    assert [name in record.getMessage() for record in caplog.records] == [True]
    changed(folder, lambda weights: weights.update({name: torch.zeros(3, 3)}))
    with pytest.raises(PolysenseError, match=r"wo\.weight is of shape \(3, 3\)"):
        load_encoder_decoder(str(folder))


CODE = """
from pathlib import Path
from transformers import PretrainedConfig, PreTrainedTokenizerFast
Path({harm!r}).touch()
class Evil(PretrainedConfig):
    model_type = "evil"
class EvilTokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a model with code of its own, which touches `harm`, and a person who says yes to everything."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path / "modules")])
    folder = support.save_bert(tmp_path / "evil")
    (folder / "evil.py").write_text(CODE.format(harm=str(tmp_path / "harm")))
    code = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoModelForSeq2SeqLM": f"{folder}--evil.Evil"}
    edit(folder / "config.json", model_type="evil", auto_map=code)
    tokenizer = {"auto_map": {"AutoTokenizer": [None, "evil.EvilTokenizer"]}, "tokenizer_class": "EvilTokenizer"}
    edit(folder / "tokenizer_config.json", **tokenizer)
    processor = {"auto_map": {"AutoImageProcessor": "evil.Evil"}, "image_processor_type": "Evil"}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def fresh_decoder(folder: str) -> object:
    settings = json.loads((Path(folder) / "config.json").read_text())
    return build_encoder_decoder(PolysenseConfig(backbone={**settings, "model_type": "bert"}))


@pytest.mark.parametrize(
    "opened",
    [
        load_backbone,
        load_encoder_decoder,
        fresh_decoder,
        open_tower,
        load_tokenizer,
        PolysenseProcessor.from_backbone,
        HuggingFaceDetector,
        ClipPictures,
        lambda folder: open_tower(f"encoder:{folder}"),
    ],
)
def test_code_in_a_models_folder_is_not_run_even_if_the_user_would_agree(
    opened: Callable[[str], object], evil: Path, tmp_path: Path
) -> None:
    with pytest.raises((PolysenseError, ValueError), match="custom code"):
        opened(str(evil))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "opened",
    [
        load_backbone,
        lambda folder: open_tower(f"encoder:{folder}"),
        PolysenseForSequenceClassification.from_pretrained,
        CmalModel.from_pretrained,
        HuggingFaceDetector,
    ],
)
def test_the_modules_that_an_adapter_beside_a_model_names_are_not_imported(
    opened: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])  # as in that folder `python -m polysense` has it
    folder = support.save_bert(tmp_path / "megatron")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    adapter = {"peft_type": "LORA", "target_modules": ["query"], "megatron_config": {"a": 1}}
    (folder / "adapter_config.json").write_text(json.dumps({**adapter, "megatron_core": "megatron.evil"}))
    with pytest.raises(PolysenseError, match="an adapter of PEFT"):
        opened(str(folder))
    assert not (tmp_path / "harm").exists()


def test_custom_code_is_named_as_the_reason(evil: Path) -> None:
    with pytest.raises(PolysenseError, match="it needs custom code, which is never run; choose a model that"):
        load_backbone(str(evil))


def test_threads_that_load_at_the_same_time_leave_no_switch_turned(
    masked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins before the other has ended."""
    answers = {"first": False, "second": True, "third": False}
    monkeypatch.setattr(loading, "hub_answers", lambda: answers[threading.current_thread().name])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    before = transformers_logging.get_verbosity()
    begun, may_end = {name: threading.Event() for name in answers}, {name: threading.Event() for name in answers}

    def load(*_: object, **__: object) -> object:
        name = threading.current_thread().name
        begun[name].set()
        assert may_end[name].wait(60)
        raise OSError

    def work() -> None:
        with pytest.raises(PolysenseError), hub_errors("model", "some/model"):
            load_weights(SimpleNamespace(from_pretrained=load), "model", str(masked))

    threads = {name: threading.Thread(target=work, name=name) for name in answers}
    for name, thread in threads.items():
        thread.start()
        assert begun[name].wait(60)
        assert (constants.HF_HUB_OFFLINE, transformers_logging.get_verbosity()) == (True, transformers_logging.ERROR)
    for name, thread in threads.items():
        may_end[name].set()
        thread.join()
    assert (constants.HF_HUB_OFFLINE, transformers_logging.get_verbosity()) == (False, before)


def test_a_load_within_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(loading, "hub_answers", lambda: bool(asked.append(1)))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_errors("model", "some/model"):
        with hub_errors("tower", "other/model"):
            assert constants.HF_HUB_OFFLINE
        assert constants.HF_HUB_OFFLINE and len(asked) == 1
    assert not constants.HF_HUB_OFFLINE


def test_a_pickle_of_weights_that_would_run_something(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.mkdir, (tmp_path / "harm",)

    folder = support.save_bert(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    load_backbone(str(folder))
    torch.save({**weights, "more": Harm()}, folder / "pytorch_model.bin")
    with pytest.raises(PolysenseError, match=r"it calls '.*', which a checkpoint has no need of and which is not read"):
        load_backbone(str(folder))
    assert not (tmp_path / "harm").exists()
