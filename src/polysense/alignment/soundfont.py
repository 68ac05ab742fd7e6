"""Playing the presets of a General MIDI sound bank (SoundFont 2) into sound files, with FluidSynth."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import soundfile

from polysense.errors import PolysenseError

RATE = 44_100
KEYS = (48, 60, 72)
"""The notes that each instrument plays, C3, C4 and C5."""
KITS = (0, 16, 25, 40)
"""The drum kits of which every drum is played: standard, power, TR-808, brush."""
HELD, SLOT = 2, 4
"""Seconds that a key is held, and from one note to the next."""

# The percussion key map of General MIDI 1, from key 35 on.
DRUMS = (
    "acoustic bass drum", "bass drum", "side stick", "acoustic snare", "hand clap", "electric snare", "low floor tom",
    "closed hi-hat", "high floor tom", "pedal hi-hat", "low tom", "open hi-hat", "low mid tom", "high mid tom",
    "crash cymbal", "high tom", "ride cymbal", "chinese cymbal", "ride bell", "tambourine", "splash cymbal", "cowbell",
    "crash cymbal", "vibraslap", "ride cymbal", "high bongo", "low bongo", "mute high conga", "open high conga",
    "low conga", "high timbale", "low timbale", "high agogo", "low agogo", "cabasa", "maracas", "short whistle",
    "long whistle", "short guiro", "long guiro", "claves", "high wood block", "low wood block", "mute cuica",
    "open cuica", "mute triangle", "open triangle",
)  # fmt: skip
FIRST_DRUM = 35
_DRUM_BANK, _DRUM_CHANNEL = 128, 9
# Leads, pads and effects of synthesisers, which have the names of moods.
_NO_INSTRUMENTS = range(80, 104)
_EFFECTS = range(120, 128)  # at one key alone: another one makes something else of a bird
_TICKS = 960  # a second, at MIDI's 120 beats a minute and 480 ticks a beat

Note = tuple[str, int, int, int]
"""Name, bank, program and key."""


def presets(bank: Path) -> list[tuple[str, list[Path]]]:
    """Name and sound files of each instrument, drum and effect of a sound bank; played on first use, beside the bank.

    Raises:
        PolysenseError: FluidSynth is not installed or fails, or the file is no sound bank.
    """
    notes = notes_of(preset_names(bank))
    folder = bank.with_suffix(".played")
    if not folder.is_dir():
        if shutil.which("fluidsynth") is None:
            raise PolysenseError(f"{bank.name}: fluidsynth is not installed; it plays sound banks: install it")
        with tempfile.TemporaryDirectory(dir=bank.parent) as temporary:
            staged = Path(temporary) / "played"
            staged.mkdir()
            _play(bank, notes, staged)
            staged.rename(folder)
    files: dict[str, list[Path]] = {}
    for i, (name, *_) in enumerate(notes):
        files.setdefault(name, []).append(folder / f"{i:03}.flac")
    return list(files.items())


def preset_names(bank: Path) -> list[tuple[str, int, int]]:
    """(name, bank, program) of every preset (SoundFont 2.01, section 7.2), by bank and program.

    Raises:
        PolysenseError: not a sound bank.
    """
    data = bank.read_bytes()
    start = data.rfind(b"phdr")
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk" or start < 0:
        raise PolysenseError(f"{bank}: not a sound bank (SoundFont 2); remove it, so that it is fetched again")
    try:
        (size,) = struct.unpack_from("<I", data, start + 4)
        # The last of the headers closes the list.
        headers = struct.iter_unpack("<20sHHHIII", data[start + 8 : start + 8 + size - 38])
    except struct.error as error:
        raise PolysenseError(
            f"{bank}: a damaged sound bank ({error}); remove it, so that it is fetched again"
        ) from None
    found = ((name.split(b"\0")[0].decode("latin-1").strip(), group, program) for name, program, group, *_ in headers)
    return sorted(found, key=lambda preset: preset[1:])


def notes_of(found: Sequence[tuple[str, int, int]]) -> list[Note]:
    """The notes to play: instruments at `KEYS`, effects at the middle one, the drums of `KITS` one by one."""
    notes = []
    for name, bank, program in found:
        if bank == _DRUM_BANK:
            kit = DRUMS if program in KITS else ()
            notes += [(drum, bank, program, FIRST_DRUM + i) for i, drum in enumerate(kit)]
        elif bank or program not in _NO_INSTRUMENTS:
            notes += [(name, bank, program, key) for key in (KEYS[1:2] if program in _EFFECTS else KEYS)]
    return notes


def score(notes: Sequence[Note]) -> bytes:
    """A MIDI file that plays one note after another, `SLOT` seconds apart."""
    events: list[tuple[int, bytes]] = []
    for i, (_, bank, program, key) in enumerate(notes):
        channel = _DRUM_CHANNEL if bank == _DRUM_BANK else 0
        begin, end = i * SLOT * _TICKS, (i + 1) * SLOT * _TICKS
        choose = bytes([0xB0 | channel, 0, bank % 128, 0xC0 | channel, program])
        events += [(begin, choose[:3]), (begin, choose[3:]), (begin, bytes([0x90 | channel, key, 100]))]
        events += [(begin + HELD * _TICKS, bytes([0x80 | channel, key, 0])), (end - 1, bytes([0xB0 | channel, 120, 0]))]
    events.append((len(notes) * SLOT * _TICKS, b"\xff\x2f\x00"))
    times = [0, *(time for time, _ in events)]
    track = b"".join(_varying(b - a) + event for (a, b), (_, event) in zip(pairwise(times), events, strict=True))
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, _TICKS // 2) + b"MTrk" + struct.pack(">I", len(track)) + track


def _varying(number: int) -> bytes:
    """MIDI's numbers: seven bits a byte, the most significant first, the top bit where more follow."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | (number & 0x7F))
    return bytes(reversed(digits))


def _play(bank: Path, notes: Sequence[Note], folder: Path) -> None:
    midi, wave = folder / "notes.mid", folder / "notes.wav"
    midi.write_bytes(score(notes))
    command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RATE), "-F", str(wave)]
    done = subprocess.run([*command, str(bank), str(midi)], capture_output=True, text=True, check=False)
    if done.returncode or not wave.exists():
        raise PolysenseError(f"{bank.name}: fluidsynth failed ({done.stderr.strip() or f'status {done.returncode}'})")
    with soundfile.SoundFile(wave) as played:
        for i in range(len(notes)):
            soundfile.write(folder / f"{i:03}.flac", played.read(SLOT * RATE, dtype="int16"), RATE)
    midi.unlink()
    wave.unlink()
