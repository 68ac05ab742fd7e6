"""Playing sound banks: which notes, the MIDI file, and what FluidSynth's output is cut into."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from polysense.alignment import soundfont
from polysense.alignment.soundfont import DRUMS, FIRST_DRUM, RATE, SLOT, notes_of, preset_names, presets, score
from polysense.errors import PolysenseError

PRESETS = (("Violin", 40, 0), ("Dog", 123, 1), ("Fantasia", 88, 0), ("Standard", 0, 128), ("Room", 8, 128))


def bank(file: Path, found: tuple[tuple[str, int, int], ...] = PRESETS) -> Path:
    """A sound bank with nothing but the names of its presets."""
    rows = [*found, ("EOP", 0, 0)]
    headers = b"".join(
        struct.pack("<20sHHHIII", name.encode(), program, group, 0, 0, 0, 0) for name, program, group in rows
    )
    chunk = b"phdr" + struct.pack("<I", len(headers)) + headers + b"pbag\0\0\0\0"
    file.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"sfbk" + chunk)
    return file


def test_names_of_presets(tmp_path: Path) -> None:
    assert preset_names(bank(tmp_path / "a.sf2")) == [
        ("Violin", 0, 40), ("Fantasia", 0, 88), ("Dog", 1, 123), ("Standard", 128, 0), ("Room", 128, 8),
    ]  # fmt: skip
    (tmp_path / "b.sf2").write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(PolysenseError, match="not a sound bank"):
        preset_names(tmp_path / "b.sf2")


@pytest.mark.parametrize("left", [-60, -8 - 6 * 38 - 2])
def test_a_bank_that_is_cut_off(tmp_path: Path, left: int) -> None:
    file = bank(tmp_path / "a.sf2")
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(PolysenseError, match=r"a\.sf2: a damaged sound bank"):
        preset_names(file)


def test_notes(tmp_path: Path) -> None:
    notes = notes_of(preset_names(bank(tmp_path / "a.sf2")))
    assert notes[:4] == [("Violin", 0, 40, 48), ("Violin", 0, 40, 60), ("Violin", 0, 40, 72), ("Dog", 1, 123, 60)]
    drums = notes[4:]
    assert len(drums) == len(DRUMS) == 81 - 35 + 1
    assert ("cowbell", 128, 0, 56) in drums and ("open triangle", 128, 0, 81) in drums


def test_the_score_is_midi() -> None:
    """Read back by the rules of the format, byte by byte."""
    notes = [("violin", 0, 40, 60), ("dog", 1, 123, 48), ("cowbell", 128, 0, 56)]
    data = score(notes)
    assert data[:4] == b"MThd" and struct.unpack(">IHHH", data[4:14]) == (6, 0, 1, 480)
    assert data[14:18] == b"MTrk" and struct.unpack(">I", data[18:22])[0] == len(data) - 22
    track, time, events = io.BytesIO(data[22:]), 0, []
    while True:
        delta = 0
        while True:
            byte = track.read(1)[0]
            delta = delta << 7 | byte & 0x7F
            if byte < 0x80:
                break
        time += delta
        status = track.read(1)[0]
        if status == 0xFF:
            assert track.read() == b"\x2f\x00"
            break
        events.append((time / 960, status >> 4, status & 15, *track.read(1 if status >> 4 == 0xC else 2)))
    assert time / 960 == 3 * SLOT
    assert [event for event in events if event[1] == 9] == [
        (0, 9, 0, 60, 100), (SLOT, 9, 0, 48, 100), (2 * SLOT, 9, 9, 56, 100),
    ]  # fmt: skip
    assert [event[3] for event in events if event[1] == 0xC] == [40, 123, 0]
    assert [event[4] for event in events if event[1] == 0xB and event[3] == 0] == [0, 1, 0]
    assert [event[0] for event in events if event[1] == 8] == [2, SLOT + 2, 2 * SLOT + 2]


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for FluidSynth, which notes each call and "plays" a file that is ready."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(soundfont, "KITS", ())
    wave = np.repeat(np.arange(1, 5, dtype=np.int16) * 1000, SLOT * RATE)
    soundfile.write(tmp_path / "ready.wav", wave, RATE)
    program(folder, f'echo "$@" >> {tmp_path}/calls\ncp {tmp_path}/ready.wav "${{12}}"')
    return folder


def program(folder: Path, script: str) -> None:
    (folder / "fluidsynth").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "fluidsynth").chmod(0o755)


def test_a_bank_is_played_once_and_cut_into_notes(tmp_path: Path, player: Path) -> None:
    for _ in range(2):
        played = presets(bank(tmp_path / "a.sf2"))
        assert [(name, len(files)) for name, files in played] == [("Violin", 3), ("Dog", 1)]
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    for number, file in enumerate(file for _, files in played for file in files):
        wave, rate = soundfile.read(file, dtype="int16")
        assert rate == RATE and len(wave) == SLOT * RATE
        assert set(wave.tolist()) == {1000 * (number + 1)}
    assert sorted(os.listdir(tmp_path / "a.played")) == ["000.flac", "001.flac", "002.flac", "003.flac"]


@pytest.mark.parametrize(("script", "said"), [("echo broken >&2; exit 3", "broken"), ("exit 0", "status 0")])
def test_a_player_that_fails_leaves_nothing(tmp_path: Path, player: Path, script: str, said: str) -> None:
    program(player, script)
    with pytest.raises(PolysenseError, match=f"fluidsynth failed .{said}"):
        presets(bank(tmp_path / "a.sf2"))
    assert sorted(os.listdir(tmp_path)) == ["a.sf2", "bin", "ready.wav"]


def test_without_a_player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PolysenseError, match="fluidsynth is not installed"):
        presets(bank(tmp_path / "a.sf2"))


def test_the_drums_are_general_midis() -> None:
    by_key = dict(enumerate(DRUMS, start=FIRST_DRUM))
    assert [by_key[key] for key in (36, 49, 70, 75, 81)] == [
        "bass drum",
        "crash cymbal",
        "maracas",
        "claves",
        "open triangle",
    ]
