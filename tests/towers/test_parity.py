"""The converted towers compute what the original networks compute: token states and sentence features, to 1e-5.

The originals are written out in `fake_checkpoints`, with random weights in files of the original formats.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import fake_checkpoints as fake
import support
from polysense.towers.checkpoints import read_checkpoint

SIZES = fake.Sizes(width=128, layers=3, feed_forward=200)
START, END = 49_406, 49_407
LENGTHS = (3, 4, 10, 33, 76, 77)


def padded(padding: int) -> tuple[Tensor, Tensor]:
    """Texts of every length, start and end included, with their mask."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.full((len(LENGTHS), 77), padding)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, 1 : length - 1] = torch.randint(1, START, (length - 2,), generator=generator)
        ids[row, 0], ids[row, length - 1], mask[row, :length] = START, END, 1
    return ids, mask


@torch.no_grad()
def converted(file: Path, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    model = read_checkpoint(file).model()
    output = model(input_ids=ids, attention_mask=mask)
    return model.text_projection(output.last_hidden_state), output.text_embeds


@pytest.mark.parametrize("padding", [0, END])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "state dict"])
def test_openai_clip(tmp_path: Path, archive: bool, padding: int) -> None:
    text = fake.original_text(SIZES)
    file = fake.save_openai(tmp_path / "ViT-B-32.pt", text, archive)
    rounded = {key: value.half().float() for key, value in text.items()}
    ids, _ = padded(padding)
    expected = fake.original_forward(rounded, ids)
    torch.testing.assert_close(converted(file, ids), expected, **support.CLOSE)
    assert expected[1].std(dim=0).min() > 0.01  # the texts do differ


@pytest.mark.parametrize("padding", [0, END])
def test_audioclip(tmp_path: Path, padding: int) -> None:
    text = fake.original_text(fake.Sizes(width=128, layers=3, feed_forward=200, projection=1024), seed=2)
    file = fake.save_audioclip(tmp_path / "AudioCLIP-Full-Training.pt", text)
    ids, _ = padded(padding)
    states, pooled = converted(file, ids)
    assert states.shape == (len(LENGTHS), 77, 1024)
    torch.testing.assert_close((states, pooled), fake.original_forward(text, ids), **support.CLOSE)


@pytest.mark.parametrize("padding", [0, END])
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_clip_vip(tmp_path: Path, masked: bool, padding: int) -> None:
    text = fake.clip_vip_text(SIZES, seed=3)
    file = fake.save_clip_vip(tmp_path / "pretrain_clipvip_base_32.pt", text)
    ids, mask = padded(padding)
    given = mask if masked else None
    states, pooled = converted(file, ids, given)
    expected_states, expected_pooled = fake.clip_vip_forward(text, ids, given)
    torch.testing.assert_close(pooled, expected_pooled, **support.CLOSE)
    seen = mask.bool() if masked else torch.ones_like(mask, dtype=torch.bool)
    torch.testing.assert_close(states[seen], expected_states[seen], **support.CLOSE)


def test_short_batches(tmp_path: Path) -> None:
    """Padding to the longest text of a batch gives what padding to the whole context gives."""
    text = fake.original_text(SIZES)
    file = fake.save_audioclip(tmp_path / "a.pt", text)
    ids, mask = padded(END)
    expected = fake.original_forward(text, ids)[1][:3]
    torch.testing.assert_close(converted(file, ids[:3, :10], mask[:3, :10])[1], expected, **support.CLOSE)
