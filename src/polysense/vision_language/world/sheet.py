"""A sheet of samples, for looking at a world."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from polysense.vision_language.world.captions import make_captions
from polysense.vision_language.world.entailments import make_entailments
from polysense.vision_language.world.expressions import make_expressions
from polysense.vision_language.world.objects import WorldObject
from polysense.vision_language.world.questions import make_questions
from polysense.vision_language.world.render import render
from polysense.vision_language.world.scene import SIDE, Scene

_COLUMNS, _GAP, _TEXT, _LETTERS = 3, 12, 270, 42
_BOX, _REFERRED = (70, 70, 70), (230, 0, 120)


def draw_sheet(scenes: Sequence[Scene], things: Sequence[WorldObject]) -> Image.Image:
    """Scenes with their boxes, and of each one caption, question, hypothesis and referring expression.

    The box that the expression refers to is pink.

    Args:
        scenes: of one part; 12 make a good sheet.
        things: the objects of that part.
    """
    captions = {each.picture: each.text for each in make_captions(scenes)}
    questions = {each.picture: f"{each.text} {each.answers[0]}" for each in make_questions(scenes, things)}
    entailments = {each.picture: f"{each.text} {each.label}" for each in make_entailments(scenes, things)}
    expressions = {each.picture: each for each in make_expressions(scenes)}
    width, height = SIDE + _TEXT + 2 * _GAP, SIDE + _GAP
    rows = -(-len(scenes) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, scene in enumerate(scenes):
        left, top = _GAP + number % _COLUMNS * width, _GAP + number // _COLUMNS * height
        sheet.paste(render(scene), (left, top))
        expression = expressions.get(scene.identity)
        for each in scene.objects:
            x1, y1, x2, y2 = each.box
            referred = expression is not None and expression.box == each.box
            outline = (left + x1, top + y1, left + x2 - 1, top + y2 - 1)
            draw.rectangle(outline, outline=_REFERRED if referred else _BOX, width=2 if referred else 1)
        texts = [captions[scene.identity], questions[scene.identity], entailments[scene.identity]]
        texts += [f'"{expression.text}"'] if expression else []
        lines = [line for text in texts for line in (*textwrap.wrap(text, _LETTERS), "")]
        draw.multiline_text((left + SIDE + _GAP, top), "\n".join(lines), fill="black", font=font, spacing=3)
    return sheet
