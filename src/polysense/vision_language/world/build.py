"""Writes a world into a folder."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from polysense.errors import PolysenseError
from polysense.folder import check_free, whole_folder, write_json, write_whole
from polysense.vision_language.captions import REGIONS_FILE, detector_file
from polysense.vision_language.detection.region_features import RegionFeatures
from polysense.vision_language.region_files import write_regions
from polysense.vision_language.regions import Regions
from polysense.vision_language.world.card import world_card
from polysense.vision_language.world.objects import SPLITS, Split, WorldObject, by_split, digest, licences, load_objects
from polysense.vision_language.world.render import render
from polysense.vision_language.world.scene import MOST_SCENES, SIDE, Scene, draw_scene
from polysense.vision_language.world.sheet import draw_sheet
from polysense.vision_language.world.texts import write_texts

VERSION = 1
"""Of the world: the same version, seed and pictures give the same scenes and texts."""
WORLD_FILE = "world.json"
SHEET_FILE = "sheet.png"
SHOWN = 12
"""Scenes on the sheet."""
DETECTOR = "segments"
"""The detector whose regions of plain pictures have the features of the world's."""
FEWEST_SCENES = 2
"""A statement is about two."""
_CHUNK = 32
_JPEG_QUALITY = 92


class Encoder(Protocol):
    """What turns regions into features: `detection.RegionFeatures`, or what stands in for it."""

    def crops(self, picture: Image.Image, boxes: NDArray[np.floating]) -> NDArray[np.uint8]: ...

    def encode(self, crops: NDArray[np.uint8]) -> NDArray[np.float16]: ...


_Row = tuple[dict[str, Any], NDArray[np.float16]]
"""A scene (see `Scene.to_json`) and the features of its objects (R, W)."""


@dataclass(frozen=True)
class _Maker:
    """All that a process needs to make scenes with their features."""

    parts: dict[Split, list[WorldObject]]
    seed: int
    encoder: Encoder

    def make(self, split: Split, indices: Sequence[int], pictures: Path | None) -> list[_Row]:
        """The scenes of those indices with the features of their objects (R, W); pictures go into a folder."""
        scenes = [draw_scene(split, index, self.parts[split], self.seed) for index in indices]
        crops = []
        for scene in scenes:
            picture = render(scene)
            if pictures is not None:
                picture.save(pictures / f"{scene.identity}.jpg", quality=_JPEG_QUALITY)
            crops.append(self.encoder.crops(picture, _boxes(scene)))
        features = self.encoder.encode(np.concatenate(crops))
        ends = np.cumsum([len(scene.objects) for scene in scenes])[:-1]
        return [(scene.to_json(), own) for scene, own in zip(scenes, np.split(features, ends), strict=True)]


def build_world(
    folder: Path,
    *,
    scenes: int = 20_000,
    validation: int = 1_000,
    test: int = 2_000,
    test_seen: int = 2_000,
    seed: int = 0,
    pictures: Literal["test", "all"] = "test",
    workers: int = 2,
    progress: bool = True,
    overwrite: bool = False,
    objects: Sequence[WorldObject] | None = None,
    encoder: Encoder | None = None,
) -> None:
    """Write a world: a folder a part (see `SPLITS`), world.json, README.md, which describes the files, and sheet.png,
    which shows the first 12 training scenes.

    A scene depends on the seed and its number alone, and a text on no later scene, so of two worlds with one seed the
    smaller is the beginning of the larger. The folder appears whole, or not at all.

    Args:
        scenes, validation, test, test_seen: how many scenes each part has, `FEWEST_SCENES` or more.
        pictures: which parts' pictures are kept as JPEG: "test" for all but train, "all" for train too.
        workers: processes that draw and encode; 1: this one alone.
        progress: whether to show a bar.
        overwrite: whether a world that is there may be replaced.
        objects: what the scenes are made of; None: `load_objects()`, fetched on first use.
        encoder: makes the features; it must be picklable. None: `RegionFeatures.pretrained()`.

    Raises:
        PolysenseError: the folder is taken, a number is too small or too large, a source cannot be fetched, or a
            process died.
    """
    sizes: dict[Split, int] = {"train": scenes, "validation": validation, "test": test, "test_seen": test_seen}
    for split, number in sizes.items():
        if not FEWEST_SCENES <= number <= MOST_SCENES:
            raise PolysenseError(f"{number} {split} scenes: give {FEWEST_SCENES} to {MOST_SCENES:,}")
    if workers < 1:
        raise PolysenseError(f"{workers} workers: give 1 or more")
    check_free(folder, overwrite, marker=WORLD_FILE)
    given, things = objects is not None, list(load_objects() if objects is None else objects)
    maker = _Maker(by_split(things), seed, RegionFeatures.pretrained() if encoder is None else encoder)
    world: dict[str, Any] = {
        "version": VERSION,
        "seed": seed,
        "picture_size": [SIDE, SIDE],
        "parts": {},
        "objects": {split: [thing.name for thing in found] for split, found in maker.parts.items()},
        "objects_sha256": digest(things),
        "licences": {} if given else dict(licences()),
    }
    with (
        _processes(workers, maker) as make,
        whole_folder(folder) as staged,
        tqdm(total=sum(sizes.values()), unit="scene", disable=not progress) as bar,
    ):
        for split in SPLITS:
            kept = staged / split / "pictures" if split != "train" or pictures == "all" else None
            (kept or staged / split).mkdir(parents=True)
            made: list[Scene] = []
            rows = (row for rows in make(split, sizes[split], kept) for row in rows)
            write_regions(staged / split / REGIONS_FILE, _regions(rows, maker.parts[split], made, bar))
            told = write_texts(staged / split, made, maker.parts[split])
            if split == "train":
                draw_sheet(made[:SHOWN], maker.parts[split]).save(staged / SHEET_FILE)
            if encoder is None:
                write_json(detector_file(staged / split / REGIONS_FILE), {"detector": DETECTOR})
            world["parts"][split] = {"scenes": len(made), "objects": sum(len(each.objects) for each in made), **told}
        write_json(staged / WORLD_FILE, world)
        write_whole(staged / "README.md", world_card(world))


def _regions(
    rows: Iterable[_Row], things: Iterable[WorldObject], made: list[Scene], bar: tqdm[Any]
) -> Iterator[tuple[str, Regions]]:
    """The regions of a part's pictures one by one, in order; its scenes are added to `made` on the way."""
    named = {thing.name: thing for thing in things}
    for row, features in rows:
        scene = Scene.from_json(row, named)
        made.append(scene)
        bar.update()
        yield scene.identity, Regions(features, _boxes(scene), SIDE, SIDE, [each.name for each in scene.objects])


@contextmanager
def _processes(workers: int, maker: _Maker) -> Iterator[Callable[[Split, int, Path | None], Iterator[list[_Row]]]]:
    """What makes the first scenes of a part, in order, in so many processes; 1: in this one."""

    def chunks(number: int) -> Iterator[range]:
        return (range(start, min(start + _CHUNK, number)) for start in range(0, number, _CHUNK))

    def here(split: Split, number: int, pictures: Path | None) -> Iterator[list[_Row]]:
        return (maker.make(split, chunk, pictures) for chunk in chunks(number))

    if workers == 1:
        yield here
        return
    # Spawned, since a forked process may hang in torch's threads.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (maker,)) as pool:

        def there(split: Split, number: int, pictures: Path | None) -> Iterator[list[_Row]]:
            waiting: deque[Future[list[_Row]]] = deque()  # few at a time, so that results do not pile up
            try:
                for chunk in chunks(number):
                    waiting.append(pool.submit(_make, split, chunk, pictures))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            except BrokenProcessPool:
                raise PolysenseError(
                    "a process that makes scenes died, maybe for want of memory; use fewer workers"
                ) from None

        yield there


_maker: _Maker | None = None


def _start(maker: _Maker) -> None:
    global _maker
    torch.set_num_threads(1)
    _maker = maker


def _make(split: Split, indices: Sequence[int], pictures: Path | None) -> list[_Row]:
    assert _maker is not None  # noqa: S101 - set by `_start`
    return _maker.make(split, indices, pictures)


def _boxes(scene: Scene) -> NDArray[np.float32]:
    return np.array([each.box for each in scene.objects], dtype=np.float32)
