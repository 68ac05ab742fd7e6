"""A reproduced table as Markdown and for the terminal: the paper's numbers beside what came out here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.markup import escape
from rich.table import Table

from polysense.experiments.results import page_of, shown_difference, shown_p, shown_score, tests_by_row

AVERAGE = "average"
HEADS = ("column", "line", "modalities", "paper", "here", "against text", "p", "against best baseline", "p")


def markdown_reproduced(result: Mapping[str, Any]) -> str:
    """A page with the table of `reproduce_small`."""
    lines = [f"{result['table']['title']}. The papers' finding: {result['table']['shows']}", ""]
    lines += ["| " + " | ".join(HEADS) + " |", "| --- |" + " --- |" * (len(HEADS) - 1)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in table_lines(result)]
    lines += ["", 'The column "paper" holds what the paper prints, by its backbone.']
    return page_of(result, lines)


def rich_reproduced(result: Mapping[str, Any]) -> Table:
    """The same for the terminal."""
    table = Table(*HEADS, title=escape(result["table"]["title"]))
    before = None
    for cells in table_lines(result):
        if before not in (None, cells[0]):
            table.add_section()
        before = cells[0]
        table.add_row(*map(escape, cells))
    return table


def table_lines(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The cells of each line: the average over the main columns first, then column by column."""
    table = result["table"]
    rows = {(row["task"], row["method"]): row for row in result["rows"]}
    to_text, to_best = tests_by_row(result["tests"]), tests_by_row(result["against_best"])
    gains = {gain["method"]: gain for gain in result["averages"]}
    shown = {AVERAGE: AVERAGE, **{title: _column(title, result["settings"]) for title in table["columns"]}}
    done = [title for title in table["main"] if any(title == task for task, _ in rows)]
    for place, title in enumerate((AVERAGE, *table["columns"]), start=-1):
        for line in table["lines"]:
            head = (shown[title], line["label"], "+".join(line["modalities"]))
            if title == AVERAGE:
                found = [rows[column, line["method"]]["mean"] for column in done if (column, line["method"]) in rows]
                here = f"{fmean(found):.1f}" if found and len(found) == len(done) else _not_run(line)
                gain = gains.get(line["method"], {})
                paper = _paper(line, len(table["columns"]))
                yield (*head, paper, here, shown_difference(gain), shown_p(gain), "", "")
                continue
            row = rows.get((title, line["method"]))
            key = (title, row["metric"], row["method"]) if row else ("", "", "")
            test, best = to_text.get(key, {}), to_best.get(key, {})
            here = shown_score(row) if row else _not_run(line)
            against = f"{_label(table['lines'], best['against'])}: {shown_difference(best)}" if best else ""
            yield (*head, _paper(line, place), here, shown_difference(test), shown_p(test), against, shown_p(best))


def _column(title: str, settings: Mapping[str, Any]) -> str:
    """A column's title, with the number of training rows where not all were used: it may say another share."""
    rows = [used["train_rows"] for titles, used in settings.items() if title in titles and "train_rows" in used]
    return f"{title} ({rows[0]:,} rows)" if rows and rows[0] is not None else title


def _paper(line: Mapping[str, Any], place: int) -> str:
    """The paper's numbers at a place, by backbone; "" where it has none."""
    numbers = [(base, values[place]) for base, values in line["paper"].items() if place < len(values)]
    return ", ".join(f"{value:g} ({base})" for base, value in numbers if value is not None)


def _not_run(line: Mapping[str, Any]) -> str:
    """Why there is nothing, in few words; the notes say more."""
    return "not run" if line["method"] is not None else "no run"


def _label(lines: Sequence[Mapping[str, Any]], method: str) -> str:
    return next(line["label"] for line in lines if line["method"] == method)
