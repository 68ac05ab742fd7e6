"""The sound encoder: its shape, and how its file of weights is read."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from polysense.alignment.registries import ENCODER_WEIGHTS, fetch
from polysense.alignment.sfx import FRAMES, LOUDEST, SoundEncoder
from polysense.errors import PolysenseError


@pytest.fixture(scope="module")
def encoder() -> SoundEncoder:
    torch.manual_seed(0)
    model = SoundEncoder().eval()
    for name, buffer in model.named_buffers():
        if name.endswith("mean"):
            buffer.uniform_(-0.1, 0.1)
        elif name.endswith("var"):
            buffer.uniform_(0.1, 0.3)
    return model


def slow(model: SoundEncoder, block: torch.Tensor) -> torch.Tensor:
    """One block, layer by layer, with normalisation and pooling written out."""
    x = block[None] / LOUDEST
    for number in range(1, 5):
        layers = getattr(model, f"conv_block{number}")
        for conv, norm in ((layers.conv1, layers.bn1), (layers.conv2, layers.bn2)):
            x = torch.conv2d(x[None], conv.weight, padding=1)[0]
            mean, var = norm.running_mean[:, None, None], norm.running_var[:, None, None]
            x = (x - mean) / (var + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
            x = x.clamp(min=0)
        if number < 4:
            rows, columns = x.shape[1] // 2, x.shape[2] // 2
            corners = [x[:, i : 2 * rows : 2, j : 2 * columns : 2] for i in (0, 1) for j in (0, 1)]
            x = torch.stack(corners).max(dim=0).values
    return x.mean(dim=2).max(dim=1).values


@torch.no_grad()
def test_the_network(encoder: SoundEncoder) -> None:
    blocks = torch.rand(2, FRAMES, 96, generator=torch.Generator().manual_seed(1)) * 6
    found = encoder(blocks)
    assert found.shape == (2, 512)
    assert found[1].std() > 0.01
    torch.testing.assert_close(found[1], slow(encoder, blocks[1]), rtol=1e-3, atol=1e-4)


def published(file: Path, model: SoundEncoder) -> Path:
    """A file as the published one: weights with a prefix and other layers, and counts as NumPy numbers."""
    weights = {f"embedding_net.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(({**weights, "fc.0.0.weight": torch.ones(2)}, {"prosfx": (np.int64(0), 78)}), file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():  # NumPy 1, which wrote the published file, kept its numbers there
            archive.writestr(name, data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return file


def test_published_weights_are_read_and_frozen(encoder: SoundEncoder, tmp_path: Path) -> None:
    model = SoundEncoder.load(published(tmp_path / "checkpoint.pth", encoder))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), encoder.parameters(), strict=True))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


class _Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("harm",))


@pytest.mark.parametrize("what", ["nothing", "text", "other", "code", "cut"])
def test_files_that_are_not_the_weights(
    what: str, encoder: SoundEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "checkpoint.pth"
    if what == "text":
        file.write_text("weights")
    elif what == "other":
        torch.save(({"embedding_net.a": torch.ones(2)}, {}), file)
    elif what == "code":
        file.write_bytes(pickle.dumps(_Harm()))
    elif what == "cut":
        file.write_bytes(published(file, encoder).read_bytes()[:5000])
    with pytest.raises(PolysenseError, match="not the published weights of the sound encoder") as caught:
        SoundEncoder.load(file)
    assert "\n" not in str(caught.value)
    assert "harm" not in capsys.readouterr().out


@pytest.mark.network
@torch.no_grad()
def test_the_real_weights_tell_sounds_apart(tmp_path: Path) -> None:
    model = SoundEncoder.load(fetch(ENCODER_WEIGHTS, tmp_path) / ENCODER_WEIGHTS.members[0])
    features = model(
        torch.rand(3, FRAMES, 96, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 3, 6])[:, None, None]
    )
    assert features.isfinite().all()
    assert (features >= 0).all()
    assert features.std(dim=0).max() > 0.01
