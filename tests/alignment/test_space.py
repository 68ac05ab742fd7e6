from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from polysense.alignment.space import FeatureSpace, part_tensors
from polysense.errors import PolysenseError


@pytest.fixture
def parts() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([9.0, 4.0, 2.0, 1.0, 0.5, 0.1])
    return {
        "seen": torch.randn(40, 6, generator=generator) * spread + 7,
        "colours": torch.randn(40, 3, generator=generator) * 0.01 - 3,
    }


def test_components_are_orthogonal_and_of_one_scale(parts):
    space = FeatureSpace.fit(parts, 4)
    assert space.width == 4 + 3
    for part, kept in (("seen", 4), ("colours", 3)):
        components = getattr(space, f"{part}_components")
        gram = components.T @ components
        assert components.shape == (parts[part].shape[1], kept)
        torch.testing.assert_close(gram / gram[0, 0], torch.eye(kept), rtol=0, atol=1e-4)


def test_each_part_is_centred_with_mean_square_one(parts):
    mapped = FeatureSpace.fit(parts, 4)(parts)
    for columns in (mapped[:, :4], mapped[:, 4:]):
        assert columns.square().sum(dim=1).mean().item() == pytest.approx(1, abs=1e-3)
        torch.testing.assert_close(columns.mean(dim=0), torch.zeros(columns.shape[1]), rtol=0, atol=1e-3)


def test_the_strongest_directions_are_kept_in_order(parts):
    mapped = FeatureSpace.fit(parts, 4)({**parts})[:, :4]
    variances = mapped.var(dim=0)
    assert (variances.diff() < 0).all()
    centred = parts["seen"] - parts["seen"].mean(dim=0)
    singular = torch.linalg.svdvals(centred.double())[:4] ** 2
    torch.testing.assert_close((variances / variances.sum()).double(), singular / singular.sum(), rtol=1e-3, atol=1e-5)


def test_data_of_low_rank_lose_nothing():
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(30, 2, generator=generator) @ torch.randn(2, 8, generator=generator) + 5
    mapped = FeatureSpace.fit({"x": low}, 2)({"x": low})

    def between(points: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pdist(points.double())

    kept = between(mapped)
    ratio = kept / between(low)
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio), rtol=1e-3, atol=0)
    more = FeatureSpace.fit({"x": low}, 6)({"x": low})
    assert more.isfinite().all()
    torch.testing.assert_close(between(more), kept, rtol=1e-3, atol=1e-3)


def test_what_is_fitted_can_be_saved(parts):
    space = FeatureSpace.fit(parts, 4)
    again = FeatureSpace({"seen": (6, 4), "colours": (3, 3)})
    again.load_state_dict(space.state_dict())
    assert torch.equal(again(parts), space(parts))
    few = FeatureSpace.fit({"x": torch.randn(3, 8)}, 64)
    assert few.width == 3


def test_a_saved_space_is_opened_with_its_parts_in_order(parts, tmp_path):
    space = FeatureSpace.fit(parts, 4)
    save_file(space.state_dict(), tmp_path / "space.safetensors")
    opened = FeatureSpace.load(tmp_path / "space.safetensors", ["seen", "colours"])
    assert torch.equal(opened(parts), space(parts))
    turned = FeatureSpace.load(tmp_path / "space.safetensors", ["colours", "seen"])
    assert torch.equal(turned(parts), torch.cat([space(parts)[:, 4:], space(parts)[:, :4]], dim=1))


@pytest.mark.parametrize("names", [["seen"], ["seen", "colours", "motion"], ["heard"], []])
def test_a_space_of_other_parts_is_refused(parts, tmp_path, names):
    save_file(FeatureSpace.fit(parts, 4).state_dict(), tmp_path / "space.safetensors")
    with pytest.raises(PolysenseError, match="not the feature space of such items"):
        FeatureSpace.load(tmp_path / "space.safetensors", names)


def test_a_space_that_is_not_there_or_damaged(tmp_path):
    for content in (None, b"damaged"):
        if content:
            (tmp_path / "space.safetensors").write_bytes(content)
        with pytest.raises(PolysenseError, match="align the tower anew"):
            FeatureSpace.load(tmp_path / "space.safetensors", ["seen"])


def test_only_colours_are_histograms():
    parts = {"seen": np.array([[4.0]], np.float32), "colours": np.array([[0.25, 0.75]], np.float32)}
    found = part_tensors(parts)
    assert found["seen"].tolist() == [[4.0]]
    assert found["colours"].tolist() == [[0.5, pytest.approx(0.75**0.5)]]
