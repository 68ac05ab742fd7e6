"""Towers that are trained: what they read, before training and after, and where gradients go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polysense.errors import PolysenseError
from polysense.prototypes.extractor import PrototypeExtractor
from polysense.prototypes.lookup import ReadCounts
from polysense.prototypes.reader import BATCH_TOKENS
from polysense.prototypes.reading import Reading
from polysense.prototypes.trained import LiveTower, TrainedExtractor
from polysense.retrieval.opening import open_source
from polysense.towers.aligned import AlignedConfig, AlignedHead, AlignedTower
from polysense.towers.memory import Memory
from polysense.towers.packed_encoder import load_encoder
from polysense.towers.registry import open_tower
from polysense.towers.tower import load_tokenizer
from support import CLOSE, save_bert, save_clip
from tiny_families import save_clap, save_siglip, save_xclip

TEXTS = ["the cat sits on the mat", "", "!", "banana", ("a yellow dog", "sings of red"), " ".join(["a cat on"] * 30)]
"""The last is longer than any of these towers reads at once."""


def save_aligned(folder: Path, trunk: Path, width: int = 12) -> Path:
    """A tower with a memory whose every part counts."""
    torch.manual_seed(3)
    model = load_encoder(str(trunk))
    d = model.config.hidden_size
    head = AlignedHead(d, width, 4, Memory(torch.randn(7, d), torch.randn(7, width)))
    for parameter in head.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    AlignedTower(AlignedConfig(str(trunk), width, 4, 7), model, load_tokenizer(str(trunk)), head, "made").save(folder)
    return folder


KINDS: dict[str, Callable[[Path], str]] = {
    "clip": lambda folder: str(save_clip(folder)),
    "clip, gelu": lambda folder: str(save_clip(folder, hidden_act="gelu")),
    "raw": lambda folder: f"raw:{save_clip(folder)}",
    "xclip": lambda folder: str(save_xclip(folder)),
    "clap": lambda folder: str(save_clap(folder)),
    "siglip": lambda folder: str(save_siglip(folder, "siglip")),
    "siglip2": lambda folder: str(save_siglip(folder)),
    "encoder": lambda folder: f"encoder:{save_bert(folder)}",
    "aligned": lambda folder: str(save_aligned(folder, save_bert(folder / "bert"))),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def trained(spec: str, reading: Reading | None = None) -> tuple[TrainedExtractor, LiveTower]:
    source = open_source(f"train:{spec}", reading)
    assert isinstance(source, TrainedExtractor)
    return source, source.begin()


@kinds
@pytest.mark.parametrize(
    "reading",
    [Reading(3), Reading(2, layers="all"), Reading(2, long_texts="truncate"), Reading(selection="pooled")],
    ids=["last", "all", "truncate", "pooled"],
)
def test_before_training_it_reads_as_the_frozen_tower(
    tmp_path: Path, kind: str, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = KINDS[kind](tmp_path / "t")
    source, live = trained(spec, reading)
    with monkeypatch.context() as patch:
        patch.setitem(BATCH_TOKENS, "cpu", 40)  # several calls of the tower
        read = live(source.windows(TEXTS))
    exact = Reading(**{**reading.to_dict(), "precision": "exact"})
    expected = PrototypeExtractor(open_tower(spec), exact).block(TEXTS)
    assert torch.equal(read.mask, expected.mask) and expected.mask.any(dim=1).tolist() == [True, False, *[True] * 4]
    torch.testing.assert_close(read.features, expected.features, **CLOSE)
    assert read.features.requires_grad and source.width == read.features.shape[2]
    for place in range(len(TEXTS)):  # the same alone
        alone = live(source.windows(TEXTS[place : place + 1]))
        torch.testing.assert_close(alone.features[0], read.features[place], **CLOSE)


@kinds
def test_gradients_are_those_of_the_features(tmp_path: Path, kind: str) -> None:
    """Of a few weights of each kind, against a small step: backward goes through what forward did."""
    source, live = trained(KINDS[kind](tmp_path / "t"), Reading(3))
    windows = source.windows(TEXTS)
    torch.manual_seed(0)
    seen = torch.randn(live(windows).features.shape).double()
    live.double()

    def value() -> torch.Tensor:
        # `LiveTower` gives single precision, as every model has it.
        return (live(windows).features.double() * seen).sum()

    loss = value()
    loss.backward()  # type: ignore[no-untyped-call]
    weights = {name: p for name, p in live.named_parameters() if p.grad is not None}
    assert any("embedding" in name for name in weights) and any("norm" in name.lower() for name in weights)
    for name, parameter in weights.items():
        assert parameter.grad is not None
        direction = parameter.grad / parameter.grad.norm().clamp(min=1e-12)
        step = 1e-3
        with torch.no_grad():
            parameter += step * direction
            above = value()
            parameter -= 2 * step * direction
            below = value()
            parameter += step * direction
        slope = (above - below) / (2 * step)
        torch.testing.assert_close(slope, parameter.grad.norm(), rtol=2e-2, atol=5e-2, msg=f"{name}: {slope}")


@kinds
def test_a_trained_tower_is_a_folder_that_reads_as_it_does(tmp_path: Path, kind: str) -> None:
    source, live = trained(KINDS[kind](tmp_path / "t"), Reading(3))
    windows = source.windows(TEXTS)
    optimizer = torch.optim.SGD(live.parameters(), lr=0.01)
    before = live(windows).features.detach()
    live(windows).features.square().mean().backward()
    optimizer.step()
    live.tower.save(tmp_path / "saved")
    opened = open_tower(f"{live.tower.kind}{tmp_path / 'saved'}")
    assert not any(parameter.requires_grad for parameter in opened.parameters())
    expected = live(windows)
    got = PrototypeExtractor(opened, Reading(3, precision="exact")).block(TEXTS)
    assert torch.equal(got.mask, expected.mask)
    torch.testing.assert_close(got.features, expected.features, **CLOSE)
    assert (before - expected.features).abs().max() > 1e-3
    # Another run starts from the tower as it was.
    torch.testing.assert_close(source.begin()(windows).features, before, **CLOSE)
    assert source.handle.fingerprint != opened.fingerprint()


def test_nothing_is_kept_of_a_tower_in_training(clip_folder: Path) -> None:
    source, live = trained(str(clip_folder))
    assert source.reading.precision == "exact" and source.store is None
    assert source.prepare(TEXTS, "bar") == ReadCounts()
    before = source.block(TEXTS)
    with torch.no_grad():
        live.tower.get_parameter("model.text_projection.weight").mul_(2)
    torch.testing.assert_close(source.block(TEXTS).features, 2 * before.features, **CLOSE)
    assert not source.block(TEXTS).features.requires_grad
    assert source.fingerprint == f"train:{open_tower(str(clip_folder)).fingerprint()}"


def test_a_thawed_tower_stays_in_eval_mode(clip_folder: Path) -> None:
    _, live = trained(f"encoder:{save_bert(clip_folder.parent / 'bert-to-train')}")
    assert not any(part.training for part in live.train().tower.modules())


@pytest.mark.parametrize(
    ("spec", "reading", "said"),
    [
        ("noise", None, "tower train:noise: there is nothing to train in it; give a text tower"),
        ("pictures:shots", None, "tower train:pictures:shots: pictures have no text tower to train; leave train: out"),
        ("search:find", None, "tower train:search:find: pictures have no"),
        ("bf16:{clip}", None, "weights in half precision cannot be trained; leave bf16: out"),
        ("train:{clip}", None, "tower train:.*: only polysense train and compare train a tower; give .* itself"),
    ],
)
def test_what_cannot_be_trained_says_so(clip_folder: Path, spec: str, reading: Reading | None, said: str) -> None:
    with pytest.raises(PolysenseError, match=said) as error:
        open_source(f"train:{spec.format(clip=clip_folder)}", reading)
    assert "\n" not in str(error.value)


def test_what_needs_a_frozen_tower_says_so(clip_folder: Path) -> None:
    source = open_source(f"train:{clip_folder}")
    for work in (lambda: source.prepare(["a cat"]), lambda: source.block(["a cat"]), lambda: source.names([1])):
        with pytest.raises(PolysenseError, match="only polysense train and compare train a tower; leave train: out"):
            work()
    with pytest.raises(PolysenseError, match="looks at entities, whose features are read once"):
        source.mentions()
    with pytest.raises(PolysenseError, match="selection syntax"):
        open_source(f"train:{clip_folder}", Reading(selection="syntax"))
