"""TorchScript archives are read as data: the same weights as TorchScript finds, and nothing of them is run."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fake_checkpoints as fake
from polysense import unpacking
from polysense.errors import PolysenseError
from polysense.towers import torchscript
from polysense.towers.checkpoints import read_checkpoint
from polysense.towers.torchscript import CodeError, is_torchscript, read_torchscript

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Parts(nn.Module):
    """Parameters, buffers, tensors that are neither, and plain attributes of many types."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).view(2, 3).T)
        self.inner = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).half()
        self.register_buffer("count", torch.tensor([3, 4]))
        self.plain = torch.ones(3)
        self.whole, self.real, self.text, self.many = 3, 2.5, "a", [1, 2]
        self.named = {"a": torch.ones(1)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.sum() + self.plain.sum()


class Writes(nn.Module):
    """Writes a file when TorchScript loads it."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.file = file

    @torch.jit.export
    def __getstate__(self):
        return self.weight, self.file

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str]) -> None:
        self.weight = state[0]
        self.file = state[1]
        self.training = False
        torch.save(self.weight, self.file)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def saved(file: Path, module: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, file)
    return file


@pytest.mark.parametrize(
    "made", [torch.jit.script, lambda module: torch.jit.trace(module.inner.float(), torch.ones(3, 2))]
)
def test_weights_are_those_that_torchscript_finds(tmp_path: Path, made: Callable[[nn.Module], Any]) -> None:
    file = saved(tmp_path / "m.pt", made(Parts()))
    expected = torch.jit.load(file).state_dict()
    found = read_torchscript(file)
    assert is_torchscript(file)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


def test_code_of_an_archive_is_not_run(tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    file = saved(tmp_path / "m.pt", torch.jit.script(Writes(str(harm))))
    torch.jit.load(file)
    assert harm.exists(), "TorchScript itself runs it"
    harm.unlink()
    with pytest.raises(PolysenseError, match=r"m\.pt: it holds Python objects that could run code, so it is not read"):
        read_checkpoint(file)
    assert not harm.exists()


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.target,)


def rewritten(file: Path, entries: dict[str, bytes]) -> Path:
    """The archive with other content in some of its entries."""
    with zipfile.ZipFile(file) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, entries.get(name.partition("/")[2], data))
    return file


def test_a_pickle_in_an_archive_runs_nothing(tmp_path: Path) -> None:
    file = fake.save_openai(tmp_path / "m.pt", fake.original_text(fake.TINY))
    rewritten(file, {"data.pkl": pickle.dumps(Evil(tmp_path / "harm"), protocol=2)})
    with pytest.raises(CodeError, match="it asks for "):
        read_torchscript(file)
    with pytest.raises(PolysenseError, match="that could run code"):
        read_checkpoint(file)
    assert not (tmp_path / "harm").exists()


def test_an_archive_that_unpacks_to_far_more_than_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "FREE", 2**20)
    file = fake.save_openai(tmp_path / "m.pt", fake.original_text(fake.TINY))
    rewritten(file, {"version": bytes(2**28)})
    with pytest.raises(ValueError, match="unpacks to far more"):
        read_torchscript(file)
    with pytest.raises(PolysenseError, match="neither a TorchScript archive nor"):
        read_checkpoint(file)


def test_a_pickle_in_an_archive_that_would_end_the_process(tmp_path: Path) -> None:
    file = fake.save_openai(tmp_path / "m.pt", fake.original_text(fake.TINY))
    rewritten(file, {"data.pkl": b"\x80\x02})" + b"\x85" * 20_000 + b"Ns."})
    with pytest.raises(ValueError, match="it nests deeper than 500"):
        read_torchscript(file)


def test_code_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class may be asked for as often as the pickle has room for its name."""
    file = saved(tmp_path / "m.pt", torch.jit.script(Parts()))
    expected = read_torchscript(file)
    read: list[str] = []
    whole = torchscript.read_entry
    monkeypatch.setattr(torchscript, "read_entry", lambda a, entry: (read.append(entry.filename), whole(a, entry))[1])
    with zipfile.ZipFile(file) as archive:
        data = archive.read("m/data.pkl")
    name = data[2 : data.index(b"q\x00")]
    rewritten(file, {"data.pkl": data[:2] + (name + b"0") * 1000 + data[2:]})
    assert list(read_torchscript(file)) == list(expected)
    code = [name for name in read if name.endswith(".py")]
    assert code and len(set(code)) == len(code)


def test_code_of_an_archive_has_a_limit(tmp_path: Path) -> None:
    file = saved(tmp_path / "m.pt", torch.jit.script(Parts()))
    with zipfile.ZipFile(file) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith("/linear.py"))
        code = archive.read(place)
    rewritten(file, {place.partition("/")[2]: code + b"#" * 2**24})
    with pytest.raises(ValueError, match="its code has far more than a model's"):
        read_torchscript(file)


def test_a_module_that_holds_itself(tmp_path: Path) -> None:
    """Or the same one twice at each of thirty levels: each is read once."""
    file = saved(tmp_path / "m.pt", torch.jit.script(Parts()))
    with zipfile.ZipFile(file) as archive:
        data = archive.read("m/data.pkl")
    start = data[: data.index(b"q\x00")]  # the name of the class
    rewritten(file, {"data.pkl": start + b")\x81q\x01}X\x04\x00\x00\x00selfh\x01sb."})
    assert read_torchscript(file) == {}


@pytest.mark.parametrize("archive", [True, False])
def test_a_tensor_of_more_numbers_than_are_there(tmp_path: Path, archive: bool) -> None:
    """Strides of 0 make 256 MiB of one number."""
    text = fake.original_text(fake.TINY)
    text["token_embedding.weight"] = torch.ones(1, dtype=torch.float16).as_strided((2**20, 64), (0, 0))
    state = {key: value.half() if key != "token_embedding.weight" else value for key, value in text.items()}
    file = tmp_path / "m.pt"
    if archive:
        saved(file, torch.jit.script(fake.Tree(state)))
    else:
        torch.save(state, file)
    with pytest.raises(PolysenseError, match=r"'token_embedding\.weight' has more numbers than the file holds"):
        read_checkpoint(file)
