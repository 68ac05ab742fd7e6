"""Files of weights that would fill the memory are refused before torch reads them, in one line."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

import fake_checkpoints as fake
import support
from polysense import unpacking
from polysense.errors import PolysenseError
from polysense.loading import load_weights
from polysense.models import PolysenseForSequenceClassification
from polysense.models.backbone import load_backbone
from polysense.towers.checkpoints import read_checkpoint
from polysense.vision_language.detection.hugging_face import HuggingFaceDetector
from polysense.vision_language.models.cmal import CmalModel
from polysense.weight_files import check_weights

MEBIBYTE = 2**20
BYTES = 300 * MEBIBYTE
BYTEARRAY = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + BYTES.to_bytes(5, "little") + b"\x85R."
OLD_BYTEARRAY = BYTEARRAY.replace(b"builtins", b"__builtin__")
CLONED = b"\x80\x02ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n)R."  # of a tensor with strides of 0
KEPT = b"q\x000]("
SIZES = b"\x80\x02(" + b"K\x01" * 5000 + b"t" + KEPT + b"ctorch._utils\n_rebuild_tensor_v2\n(Nh\x00h\x00tR" * 9 + b"e."
ATTRIBUTES = b"\x80\x02}(" + b"NN" * 5000 + b"u" + KEPT + b"ccollections\nOrderedDict\n)Rh\x00b" * 9 + b"e."


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 MiB, or 100 times a file's size, may be unpacked."""
    monkeypatch.setattr(unpacking, "FREE", MEBIBYTE)


def archive(file: Path, data: bytes, method: int = zipfile.ZIP_STORED, **more: bytes) -> Path:
    with zipfile.ZipFile(file, "w", method) as target:
        for name, content in {"data.pkl": data, "version": b"3\n", "byteorder": b"little", **more}.items():
            target.writestr(f"a/{name}", content)
    return file


def old(file: Path, data: bytes) -> Path:
    """The format of torch before 1.6, with another pickle in the place of the state dict."""
    stream = io.BytesIO()
    torch.save({}, stream, _use_new_zipfile_serialization=False)
    whole, state = stream.getvalue(), pickle.dumps({}, 2)
    assert whole.count(state) == 1
    file.write_bytes(whole.replace(state, data))
    return file


COPYING = {
    "torch.Size": b"(%st",
    "collections.Counter": b"](%se",
    "builtins.set": b"](%se",
    "collections.OrderedDict": b"](" + 500 * b"]" + b"e",
}


def copied(name: str) -> bytes:
    """A call that copies the same thousand values a thousand times."""
    module, _, function = name.rpartition(".")
    values = COPYING[name].replace(b"%s", 1000 * b"K\x01")
    call = f"c{module}\n{function}\n".encode()
    return b"\x80\x02" + values + b"q\x00" + call + b"q\x01" + 1000 * b"h\x01h\x00\x85R0" + b"N."


@pytest.fixture
def refused() -> Callable[[Path, str], None]:
    def check(file: Path, reason: str) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(PolysenseError, match=reason) as caught:
                read_checkpoint(file)
            assert tracemalloc.get_traced_memory()[1] < 32 * MEBIBYTE
        finally:
            tracemalloc.stop()
        assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)

    return check


@pytest.mark.parametrize("write", [archive, old])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BYTEARRAY, "it calls 'builtins.bytearray', which a checkpoint has no need of and which is not read"),
        (OLD_BYTEARRAY, "it calls '__builtin__.bytearray'"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a\x85R.", "it calls '_codecs.encode'"),
        (CLONED, "it calls 'torch._utils._rebuild_device_tensor_from_cpu_tensor'"),
        *((copied(name), "it would take .* of memory or more") for name in COPYING),
        (b"\x80\x02ctorch\nFloatTensor\nK\x01\x85R.", "it calls 'torch.FloatTensor'"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x85R.", "it calls 'collections.OrderedDict'"),
        (b"\x80\x02ccollections\nOrderedDict\n)R)b.", "it calls 'collections.OrderedDict.__setstate__'"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n]\x85R.", "it calls 'torch._utils._rebuild_tensor_v2'"),
        (SIZES, "it would take .* of memory or more"),
        (ATTRIBUTES, "it would take .* of memory or more"),
        (b"\x80\x02})" + b"\x85" * 20_000 + b"Ns.", "it nests deeper than 500"),
        (b"\x80\x02" + b"}" * 2**16 + b".", "it would take .* of memory or more"),
    ],
)
def test_a_pickle_that_fills_the_memory(
    tmp_path: Path, small: None, refused: Callable[[Path, str], None],
    write: Callable[[Path, bytes], Path], data: bytes, reason: str,
) -> None:  # fmt: skip
    refused(write(tmp_path / "m.pt", data), reason)


def test_an_archive_that_unpacks_to_far_more(tmp_path: Path, small: None, refused: Callable[[Path, str], None]) -> None:
    file = archive(tmp_path / "m.pt", b"\x80\x02}." + bytes(64 * MEBIBYTE), zipfile.ZIP_DEFLATED)
    refused(file, "it unpacks to 0.0625 GiB, as no model's do")
    file = archive(tmp_path / "n.pt", b"\x80\x02}.", zipfile.ZIP_DEFLATED, version=bytes(64 * MEBIBYTE))
    refused(file, "it unpacks to 0.0625 GiB")
    file = archive(tmp_path / "o.pt", b"\x80\x02}." + bytes(MEBIBYTE // 8), zipfile.ZIP_DEFLATED)
    refused(file, "its pickle unpacks to 0.125 MiB")


def test_weights_that_share_their_numbers(tmp_path: Path, small: None, refused: Callable[[Path, str], None]) -> None:
    text = fake.original_text(fake.Sizes(width=128, layers=120, feed_forward=512, context=12, vocabulary=50))
    numbers = torch.zeros(512 * 128, dtype=torch.float16)
    shared = {key: numbers[: value.numel()].view(value.shape) for key, value in text.items()}
    torch.save(shared, tmp_path / "m.pt")
    refused(tmp_path / "m.pt", r"its weights would take 0\.0\d+ GiB of memory")
    torch.save({key: value.half() for key, value in text.items()}, tmp_path / "whole.pt")
    assert read_checkpoint(tmp_path / "whole.pt").config.num_hidden_layers == 120


def twice(whole: bytes) -> bytes:
    """Two lists of the same entries: the end names the first, which lies before what it says to be its size."""
    size, begin = struct.unpack("<II", whole[-10:-2])
    return whole[:-22] + whole[begin : begin + size] + whole[-22:]


@pytest.mark.parametrize(
    "change",
    [
        twice,
        lambda whole: b"PK\x03\x04" + whole,
        lambda whole: whole[:-2] + b"\x04\x00more",
        lambda whole: whole[:-2] + b"\x04\x00",
    ],
)
def test_an_archive_of_which_torch_could_read_another_list(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    file = archive(tmp_path / "m.pt", b"\x80\x02}.")
    check_weights(file)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(zipfile.BadZipFile, match="its list of entries is not in its place"):
        check_weights(file)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as target:
        target.writestr("a/data.pkl", BYTEARRAY)
        target.writestr("a/Data.pkl", b"\x80\x02}.")
    with pytest.raises(zipfile.BadZipFile, match="an entry is there twice"):
        check_weights(tmp_path / "m.pt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose weights are to be written."""
    made = support.save_bert(tmp_path / "model")
    (made / "model.safetensors").rename(tmp_path / "weights")
    return made


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_of_a_folder_are_read_as_before(tmp_path: Path, folder: Path, zipped: bool) -> None:
    weights = load_file(tmp_path / "weights")
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    load_backbone(str(folder))
    (folder / "pytorch_model.bin").rename(folder / "first.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "first.bin")}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    load_backbone(str(folder))
    (tmp_path / "weights").rename(folder / "model.safetensors")
    (folder / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1")  # left where it was
    load_backbone(str(folder))


@pytest.mark.parametrize("index", [None, "pytorch_model.bin.index.json"])
@pytest.mark.parametrize("write", [archive, old])
def test_weights_of_a_folder_that_fill_the_memory(
    folder: Path, index: str | None, write: Callable[[Path, bytes], Path]
) -> None:
    file = write(folder / ("odd.name" if index else "pytorch_model.bin"), BYTEARRAY)
    if index:
        (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": {"a": file.name}}))
    with pytest.raises(
        PolysenseError, match=r"it calls 'builtins\.bytearray', .*get the model as safetensors"
    ) as caught:
        load_backbone(str(folder))
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pytorch_model.odd.bin", {"variant": "odd"}),
        ("pytorch_model.bin.index.odd.json", {"variant": "odd"}),
        ("pytorch_model.bin", {"use_safetensors": False}),
        ("inner/pytorch_model.bin", {"subfolder": "inner"}),
    ],
)
def test_options_tell_which_weights_are_read(tmp_path: Path, folder: Path, name: str, options: dict[str, Any]) -> None:
    (tmp_path / "weights").rename(folder / "model.safetensors")
    (folder / "inner").mkdir()
    (folder / "inner" / "config.json").write_bytes((folder / "config.json").read_bytes())
    file = archive(folder / ("some.name" if "index" in name else name), BYTEARRAY)
    if "index" in name:
        (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": {"a": file.name}}))
    load_weights(AutoModel, "backbone", str(folder))
    loads: list[Callable[..., Any]] = [partial(load_weights, AutoModel, "backbone", str(folder))]
    loads += [partial(kind.from_pretrained, folder) for kind in (PolysenseForSequenceClassification, CmalModel)]
    for load in loads:
        with pytest.raises(PolysenseError, match=r"it calls 'builtins\.bytearray'") as caught:
            load(**options)
        assert str(caught.value).startswith(f"{file}: ")


def test_a_safetensors_index_of_other_files(folder: Path) -> None:
    archive(folder / "odd.name", BYTEARRAY)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "a.safetensors", "b": "odd.name"}}))
    with pytest.raises(PolysenseError, match=r"it names 'odd\.name', which is no safetensors file") as caught:
        load_backbone(str(folder))
    assert str(caught.value).startswith(f"{index}: ")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"transformers_weights": "adapter_model.bin"}, "transformers_weights"),
        ({"transformers_weights": "x.safetensors.index.json"}, "transformers_weights"),
        ({"transformers_weights": "../model/model.safetensors"}, "transformers_weights"),
        ({"transformers_weights": ["model.safetensors"]}, "transformers_weights"),
        ({"attribute_map": {"transformers_weights": "a.safetensors"}, "a.safetensors": "adapter_model.bin"},
         "transformers_weights"),
        ({"attribute_map": {"a": "transformers_weights"}, "a": "adapter_model.bin"}, "a"),
        ({"text_config": {"transformers_weights": "adapter_model.bin"}}, "transformers_weights"),
        ({"a": [[{"transformers_weights": "adapter_model.bin"}]]}, "transformers_weights"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("opened", [load_backbone, HuggingFaceDetector])
def test_a_configuration_that_names_other_weights(
    tmp_path: Path, folder: Path, settings: dict[str, Any], key: str, opened: Callable[[str], object]
) -> None:
    weights = load_file(tmp_path / "weights")
    (tmp_path / "weights").rename(folder / "model.safetensors")
    archive(folder / "adapter_model.bin", BYTEARRAY)
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "adapter_model.bin")}
    (folder / "x.safetensors.index.json").write_text(json.dumps(index))
    configuration = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"configuration_files": ["config.4.0.0.json"]}))
    (folder / "config.4.0.0.json").write_text(json.dumps({**configuration, **settings}))
    with pytest.raises(PolysenseError, match=f"its '{key}' has weights come from other than") as caught:
        opened(str(folder))
    assert str(caught.value).startswith(f"{folder / 'config.json'}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, "mine.safetensors"])
def test_a_configuration_that_names_its_safetensors(tmp_path: Path, folder: Path, name: str | None) -> None:
    (tmp_path / "weights").rename(folder / (name or "model.safetensors"))
    configuration = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**configuration, "transformers_weights": name}))
    load_backbone(str(folder))


@pytest.mark.parametrize("kind", [PolysenseForSequenceClassification, CmalModel])
def test_our_own_models_are_looked_through_too(folder: Path, kind: Any) -> None:
    archive(folder / "pytorch_model.bin", BYTEARRAY)
    with pytest.raises(PolysenseError, match=r"it calls 'builtins\.bytearray'"):
        kind.from_pretrained(folder)


def test_many_tensors_in_a_tuple(tmp_path: Path) -> None:
    torch.save({"shadow": tuple(torch.ones(1) for _ in range(1000))}, tmp_path / "m.pt")
    check_weights(tmp_path / "m.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_state_dicts_hold(tmp_path: Path, zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Embedding(4, 2)).half()
    state: dict[str, Any] = module.state_dict()
    assert state._metadata  # type: ignore[attr-defined]  # of torch's own
    state["parameter"] = module[0].weight
    state["kinds"] = [torch.ones(1, dtype=kind) for kind in (torch.bfloat16, torch.bool, torch.uint16)]
    state["more"] = {"epoch": 3, "loss": 0.5, "names": ("a", None), "dtype": torch.float16, "size": [True, 2**40]}
    torch.save(state, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    check_weights(tmp_path / "m.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_checkpoints_of_training_hold(tmp_path: Path, zipped: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight])
    weight.marked = True  # type: ignore[attr-defined]
    weight.sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    state = {"weight": weight, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    state |= {"size": torch.Size((2, 3)), "device": torch.device("cpu", 0), "sets": [set(), {1, 2}]}
    state["conjugated"] = torch.ones(2, dtype=torch.complex64).conj()
    torch.save(state, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    assert torch.load(tmp_path / "m.pt", weights_only=True)["schedule"]["milestones"] == {2: 1, 4: 1}
    check_weights(tmp_path / "m.pt")


@pytest.mark.parametrize("pairs", [b"]", b"](](U\x01aK\x01e](U\x01bK\x02ee"])
def test_dictionaries_of_python_2(tmp_path: Path, pairs: bytes) -> None:
    archive(tmp_path / "m.pt", b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R.")
    assert torch.load(tmp_path / "m.pt", weights_only=True) == ({"a": 1, "b": 2} if len(pairs) > 1 else {})
    check_weights(tmp_path / "m.pt")


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
SHOWN_OVER_AND_OVER = (
    b"ctorch._utils\n_rebuild_tensor_v2\n("
    + STORAGE
    + b"K\x00J\x00\x00\x00\x40\x85K\x00\x85\x89ccollections\nOrderedDict\n)RtR"
)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("collections.Counter", b"(%st"),  # of a tensor
        ("builtins.set", b"(%st"),
        ("builtins.set", b"%s"),  # a tensor instead of a tuple of arguments
        ("collections.OrderedDict", b"(](%set"),  # a tensor as a pair
        ("collections.OrderedDict", b"(](]%set"),  # a list and a tensor as pairs
        ("torch.Size", b"(%st"),
        ("torch.Size", b"((%stt"),
    ],
)
def test_nothing_goes_through_a_tensor(tmp_path: Path, name: str, given: bytes) -> None:
    module, _, function = name.rpartition(".")
    call = f"c{module}\n{function}\n".encode() + given % SHOWN_OVER_AND_OVER + b"R."
    archive(tmp_path / "m.pt", b"\x80\x02" + call)
    with pytest.raises(PolysenseError, match=f"it calls '{name}', which a checkpoint has no need of"):
        check_weights(tmp_path / "m.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_of_a_folder_of_one_number(tmp_path: Path, folder: Path, small: None, zipped: bool) -> None:
    weights = load_file(tmp_path / "weights")
    weights["embeddings.word_embeddings.weight"] = torch.ones(1).as_strided((2**34, 16), (0, 0))
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(PolysenseError, match=r"pytorch_model\.bin: its weights would take 1.02e\+03 GiB of memory"):
        load_backbone(str(folder))
