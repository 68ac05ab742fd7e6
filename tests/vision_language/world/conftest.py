"""Objects with the catalogue's names and made-up pictures: plain shapes on a transparent ground."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from polysense.alignment.manifest import Pair
from polysense.vision_language.world.catalogue import CATALOGUE
from polysense.vision_language.world.objects import SPLITS, by_split, find_objects
from polysense.vision_language.world.scene import draw_scene


def draw_shape(file: Path, number: int) -> None:
    width, height = 20 + number % 13, 20 + number % 29
    picture = Image.new("RGBA", (40, 56), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    fill = (number * 37 % 256, number * 91 % 256, number * 53 % 256, 255)
    corners = (3, 2, 3 + width, 2 + height)
    if number % 3 == 0:
        pen.ellipse(corners, fill)
    elif number % 3 == 1:
        pen.rectangle(corners, fill)
    else:
        pen.polygon([(3, 2 + height), (3 + width, 2 + height), (3 + width // 2, 2)], fill)
    pen.rectangle((3 + width // 2, height // 2, 5 + width // 2, 4 + height), (255, 255, 255, 255))
    picture.save(file)


@pytest.fixture(scope="session")
def things(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    names = [entry.strip().split("=")[0].split("/")[0] for entry in " ".join(CATALOGUE.split()).split(";")]
    pairs = []
    for number, name in enumerate(names):
        for style in range(1 + number % 2):
            file = folder / f"{number}-{style}.png"
            draw_shape(file, number + 7 * style)
            pairs.append(Pair((name,), file, name, "shapes"))
    return find_objects(pairs, CATALOGUE)


@pytest.fixture(scope="session")
def parts(things):
    return by_split(things)


@pytest.fixture(scope="session")
def scenes(parts):
    """The first 400 scenes of training, and 100 of the other parts."""
    return {
        split: [draw_scene(split, i, parts[split], 3) for i in range(400 if split == "train" else 100)]
        for split in SPLITS
    }
