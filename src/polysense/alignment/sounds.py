"""Sounds: from files to the sound encoder's features and to statistics of the spectrum."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

from polysense.alignment import mel, sfx
from polysense.alignment.media import MediaFeatures, Medium, Parts, UnusableError, media_features, read_file
from polysense.alignment.registries import ENCODER_WEIGHTS, fetch

ENDINGS = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf"})
"""File names of a folder that count as sounds, in lower case."""
VERSION = 1
"""See `Medium.version`."""
MAX_SECONDS = 30
"""What is read of a longer sound: its beginning."""
MAX_RATE = 384_000
MAX_CHANNELS = 32
BATCH = 16
SOUNDING = 1e-3
"""Frames with less than this share of the loudest frame's energy are silence to the statistics."""

_BLOCKS = 32  # that the encoder reads at once


def sound_features(files: Sequence[Path], *, progress: bool = False, cache: Path | None = None) -> MediaFeatures:
    """Features of sounds.

    What libsndfile reads (WAV, FLAC, Ogg, Opus, MP3, AIFF, ...), its first `MAX_SECONDS`, the channels averaged, the
    loudest sample scaled to 1. Files that are missing, empty, broken, silent, or above `MAX_RATE`, `MAX_CHANNELS` or
    `media.MAX_MEGABYTES` are left out, with one warning for all.

    Args:
        files, progress, cache: as in `media_features`.

    Returns:
        The parts "heard" (n, 512), the encoder's features, the mean over blocks of 2.3 seconds that overlap by half;
        and "spectrum" (n, 288): mean and deviation of the log-mel bands, and their mean change from frame to frame.

    Raises:
        PolysenseError: the encoder's weights cannot be fetched, no file could be read, or the cache cannot be written.
    """
    encoder = functools.cache(lambda: sfx.SoundEncoder.load(fetch(ENCODER_WEIGHTS, cache) / ENCODER_WEIGHTS.members[0]))

    def encode(spectrograms: list[NDArray[np.float32]]) -> Parts:
        return {
            "heard": encode_blocks(encoder(), [blocks_of(spectrogram) for spectrogram in spectrograms]),
            "spectrum": np.stack([statistics(spectrogram) for spectrogram in spectrograms]),
        }

    formats = "WAV, FLAC, Ogg, MP3 or AIFF"
    medium = Medium("sound", ("heard", "spectrum"), VERSION, formats, BATCH, decode_sound, encode, read_file)
    return media_features(medium, files, progress=progress, cache=cache)


def decode_sound(data: bytes) -> NDArray[np.float32]:
    """The log-mel spectrogram (frames, 96) of an encoded sound.

    Raises:
        UnusableError: not a sound, broken, silent, or too many samples a second or channels.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            rate = sound.samplerate
            if rate > MAX_RATE:
                raise UnusableError(f"{rate} samples a second, more than {MAX_RATE}")
            if sound.channels > MAX_CHANNELS:
                raise UnusableError(f"{sound.channels} channels, more than {MAX_CHANNELS}")
            # Second by second: the whole of many channels could fill the memory.
            seconds = sound.blocks(blocksize=rate, frames=MAX_SECONDS * rate, dtype="float32", always_2d=True)
            wave = np.concatenate([np.zeros(0, np.float32), *(_mono(second) for second in seconds)])
    except soundfile.LibsndfileError as error:
        raise UnusableError(f"not a sound, or broken: {error.error_string}") from None
    if not len(wave):
        raise UnusableError("no sound in it")
    if not (loudest := np.abs(wave).max()):
        raise UnusableError("silent")
    return mel.log_mel(resample(wave / loudest, rate, mel.RATE))


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(samples).all():
        raise UnusableError("broken: not all samples are numbers")
    mean: NDArray[np.float32] = samples.mean(axis=1)
    return mean


def resample(wave: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """A wave (n,) at another number of samples a second."""
    common = gcd(rate, wanted)
    return resample_poly(wave, wanted // common, rate // common).astype(np.float32)


def blocks_of(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """(blocks, FRAMES, 96), each half a block after the last; a short sound is followed by silence, a rest left out."""
    missing = max(0, sfx.FRAMES - len(spectrogram))
    padded = np.pad(spectrogram, ((0, missing), (0, 0)))
    starts = range(0, len(padded) - sfx.FRAMES + 1, sfx.FRAMES // 2)
    return np.stack([padded[start : start + sfx.FRAMES] for start in starts])


def encode_blocks(encoder: sfx.SoundEncoder, sounds: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Blocks (b, FRAMES, 96) of each sound to the mean of their features, (sounds, 512)."""
    with torch.no_grad():
        features = torch.cat([encoder(blocks) for blocks in torch.from_numpy(np.concatenate(sounds)).split(_BLOCKS)])
    of_sound = features.split([len(blocks) for blocks in sounds])
    result: NDArray[np.float32] = torch.stack([blocks.mean(dim=0) for blocks in of_sound]).numpy()
    return result


def statistics(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """(288,): mean and standard deviation of each band, and its mean absolute change, over the sounding frames."""
    energy = (10.0**spectrogram).sum(axis=1)
    sounding = spectrogram[energy >= SOUNDING * energy.max()]
    change = np.abs(np.diff(sounding, axis=0, prepend=sounding[:1]))
    return np.concatenate([sounding.mean(axis=0), sounding.std(axis=0), change.mean(axis=0)])
