from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from benchmarks.reliability.endurance import Growth, Look, Watch

COUNT = 10_000


def looks(leak: float, files: Sequence[int] = (6,) * 100, early: int = 0) -> list[Look]:
    """A hundred, of a run that leaks so many bytes a text, by noise of 500 kB, and takes `early` kB in its start."""
    drawn = random.Random(0)
    seen = []
    for i in range(100):
        done = (i + 1) * COUNT // 100
        kilobytes = 400_000 + early * min(i, 20) // 20 + done * leak / 1024 + drawn.uniform(-250, 250)
        seen.append(Look(done, i / 10, round(kilobytes), files[i], 2))
    return seen


@pytest.mark.parametrize("leak", [512, 1024, 4096])
def test_a_leak_is_not_flat_though_it_is_small_beside_the_process(leak: int) -> None:
    growth = Growth.of(looks(leak))
    assert growth.bytes_each == pytest.approx(leak, abs=50)
    assert growth.megabytes[1] < 1.06 * growth.megabytes[0]
    assert not growth.flat


def test_noise_and_what_a_start_takes_are_flat() -> None:
    assert Growth.of(looks(0)).flat
    assert Growth.of(looks(0, early=100_000)).flat


def test_files_that_stay_open_are_not_flat() -> None:
    growth = Growth.of(looks(0, [6 + i // 20 for i in range(100)]))
    assert growth.files == (7, 10)
    assert not growth.flat


@pytest.mark.parametrize(("more", "seen"), [(1, 100), (64, 100), (250, 40)])
def test_looks_come_after_equally_much_work(more: int, seen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.reliability.endurance.release_memory", lambda: None)  # which takes its time
    watch = Watch(COUNT)
    for _ in range(0, COUNT, more):
        watch.count(more)
    assert len(watch.seen) == seen
    between = {after.done - before.done for before, after in zip(watch.seen[:-1], watch.seen[1:], strict=True)}
    assert max(between) - min(between) <= more
