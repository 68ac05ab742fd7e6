"""The report of a run as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from polysense.folder import write_whole
from polysense.pages.frame import framed
from polysense.pages.markup import tag
from polysense.pages.wording import shortened, visible
from polysense.report import answers, curves, examples, facts
from polysense.report.changes import changes
from polysense.report.looks import Looks
from polysense.report.style import CSS

REPORT_FILE = "report.html"

_TITLE = 60


def write_report(
    staged: Path,
    results: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    looks: Looks | None = None,
    score_note: str = "",
) -> None:
    """Write a run's report, whole, to `report.html` in its folder.

    Args:
        staged: the folder.
        results: of the run, as `train` returns them.
        log: the Trainer's `log_history`.
        looks: what the model says of some rows; None: the report has no such part.
        score_note: how the scores by epoch differ from the last, for under their charts.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(staged / REPORT_FILE, report(results, log, looks, score_note))


def report(
    results: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    looks: Looks | None = None,
    score_note: str = "",
) -> str:
    """The page as text (see `write_report`); whatever a text or a name holds is shown, never obeyed."""
    main = tag(
        "main",
        *_heading(results),
        tag("section", tag("h2", "Scores"), facts.scores(results), *facts.notes(results)),
        *_section("Training", [*_charts(curves.training(log, score_note))]),
        *_weights(results),
        *(_answers(looks) if looks is not None else ()),
        tag("section", tag("h2", "Settings and versions"), tag("div", *facts.facts(results), class_="groups")),
        _reading(looks),
    )
    return framed(f"{shortened(results['task'], _TITLE)}, {shortened(results['method'], _TITLE)}", main, CSS)


def _heading(results: Mapping[str, Any]) -> Iterator[Element]:
    modalities = " + ".join(results["modalities"])
    task, method = (tag("bdi", shortened(results[name], _TITLE)) for name in ("task", "method"))
    yield tag("h1", "Polysense reports a run of ", task, ": method ", method, ", ", tag("bdi", visible(modalities)))
    metric = results["metric"]
    for split in ("validation", *results["scores"]):
        for name in (split, f"{split}/{metric}"):
            if name in results["scores"]:
                value = facts.score(metric, results["scores"][name])
                where = tag(
                    "span", " ", tag("bdi", f"{visible(metric)} on {shortened(split, _TITLE)}"), class_="figure"
                )
                yield tag("p", value, where, class_="answer")
                return


def _section(title: str, parts: Sequence[Element]) -> Iterator[Element]:
    """Nothing at all where there is nothing to show."""
    if parts:
        yield tag("section", tag("h2", title), *parts)


def _charts(parts: Iterator[Element]) -> Iterator[Element]:
    found = list(parts)
    if found:
        yield tag("div", *found, class_="charts")


def _weights(results: Mapping[str, Any]) -> Iterator[Element]:
    steps = results["e_steps"]
    # The last of the E-steps is what z is in the end.
    final = {kind: shares for kind, shares in results["weights"].items() if kind != "z" or not steps}
    drawn = [*curves.e_steps(steps), *curves.final_weights(final)]
    yield from _section("Weights of modalities", [*_charts(iter(drawn))])


def _answers(looks: Looks) -> Iterator[Element]:
    rest = [] if looks.judged or looks.kind == "regression" else [*examples.some(looks)]
    yield tag("section", tag("h2", "Answers"), _seen(looks), *answers.overview(looks), *rest)
    found = changes(looks)
    if found:
        parts = [answers.counted(looks, found), *examples.changed(looks, found)]
        yield from _section("Where modalities changed the answer", parts)
    if not rest:
        title = "The largest errors" if looks.kind == "regression" else "The most confident mistakes"
        yield from _section(title, [*examples.mistakes(looks)])


def _seen(looks: Looks) -> Element:
    """Which rows the answers are of, and how good they are together."""
    part = looks.total > len(looks.rows)
    rows = f"{len(looks.rows):,} of the {looks.total:,} rows" if part else f"All {looks.total:,} rows"
    quality = answers.quality(looks)
    end = f"{', drawn by a fixed seed' if part else ''}{f': {quality}' if quality else ''}."
    return tag("p", f"{rows} of the split ", tag("bdi", visible(looks.split)), end, class_="soft")


def _reading(looks: Looks | None) -> Element:
    """How to read the page, as far as it shows anything."""
    sentences = ["Rest the pointer on a mark of a chart to read its values; “The numbers” has them all. "]
    if looks is not None and looks.left_out:
        sentences.append(
            "“Without” a modality, the trained model answers with that modality's prototypes and vote taken away; "
            "nothing is trained again, so this says what the model rests on, not how good it would be without. "
        )
    if looks is not None and looks.judged:
        sentences.append("✓ is right, ✗ is wrong, and a percentage beside an answer is its probability. ")
    if looks is not None and looks.kind == "classification":
        sentences.append("A cell of the table of labels and predictions is the deeper, the more of its row it holds. ")
    if looks is not None and looks.kind == "span":
        sentences.append("In a context the true answers are shaded, and the model's answer is underlined. ")
    return tag("footer", tag("h2", "How to read this"), tag("p", *sentences, class_="soft"))
