"""A table or figure as a shell script: the exact commands, one run each, which can be stopped and gone on with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict

from polysense.errors import PolysenseError
from polysense.experiments.reproduce.catalogue import BASES, Entry, Scale
from polysense.experiments.reproduce.collect import comparison_file, probe_file, table_file
from polysense.experiments.reproduce.scales import PAPER_CHECKPOINTS, PAPER_SEEDS, PAPER_TOWERS
from polysense.experiments.runs import Run
from polysense.tasks import get_task

_HEAD = """\
#!/bin/sh
# {title}
# The papers' finding: {shows}
#
# sh {name}          runs what is not finished, one command after the other, and makes the tables at the end
# sh {name} 17       runs the 17th command alone, e.g. as one of many jobs on a cluster
# sh {name} count    prints how many commands there are
#
# OUT and CELLS are the folders of results and of finished runs; a run that is in CELLS is not run again.
set -eu
OUT="${{OUT:-{out}}}"
CELLS="${{CELLS:-$OUT/cells}}"
ONLY="${{1:-all}}"
N=0
mkdir -p "$OUT"

need() {{
  # need FOLDER COMMAND: says how to make a folder that is not there
  [ "$ONLY" = count ] || [ -e "$1" ] || {{ echo "$1 is not there: $2" >&2; exit 1; }}
}}

run() {{
  N=$((N + 1))
  if [ "$ONLY" = all ] || [ "$ONLY" = "$N" ]; then "$@"; fi
}}

train() {{
  # train FOLDER COMMAND...: a model that is there is not trained again
  FOLDER="$1"; shift
  [ -e "$FOLDER" ] && [ "$ONLY" != count ] && set -- true
  run "$@"
}}

table() {{
  if [ "$ONLY" = all ]; then "$@"; fi
}}
"""


def script_of(entry: Entry, scale: Scale, name: str, seeds: int = PAPER_SEEDS) -> str:
    """The shell script that makes a table at the papers' scale, or a figure at either.

    Args:
        name: of the file, for its own comments.
        seeds: runs a cell of the table.

    Raises:
        PolysenseError: a table at small scale, which is computed and needs no script.
    """
    if entry.columns and scale == "small":
        raise PolysenseError(f"{entry.id}: the small scale is computed and needs no script")
    head = _HEAD.format(title=entry.title, shows=entry.shows, name=name, out=f"build/reproduce/{entry.id}-{scale}")
    differs = [*entry.differs, *(entry.differs_small if scale == "small" else ())]
    lines = [head]
    lines += ["# What is not as in the paper:", *(f"# - {text}" for text in differs), ""] if differs else []
    body = list(_figure(entry, scale) if not entry.columns else _table(entry, seeds))
    if any("$PICTURES" in line for line in body):
        lines += [
            "# A folder of pictures with captions, as `polysense align` reads; the paper's came from a web search.",
            ': "${PICTURES:?a folder of pictures with captions}"',
            "",
        ]
    for folder, checkpoint in PAPER_CHECKPOINTS.items():
        if any(folder in line for line in body):
            lines.append(f"need {folder} 'polysense towers convert {checkpoint} --to {folder}'")
    return "\n".join([*lines, "", *body, 'if [ "$ONLY" = count ]; then echo "$N"; fi']) + "\n"


def _figure(entry: Entry, scale: Scale) -> Iterator[str]:
    for unquoted in entry.commands[scale]:
        command = re.sub(r"\$OUT\S*", r'"\g<0>"', unquoted)
        if command.startswith("polysense train "):
            words = command.split()
            yield f"train {words[words.index('--output-dir') + 1]} {command}"
        else:
            yield f"table {command}"
    yield ""


def _table(entry: Entry, seeds: int) -> Iterator[str]:
    collect: list[str] = []
    number = 0
    for base in entry.bases:
        lines = entry.runs("paper", PAPER_TOWERS, base)
        yield f"# {base}: {BASES[base]}"
        for (task, share), columns in entry.groups().items():
            here = {text: line for text, line in lines.items() if Run.parse(text).applies(get_task(task))}
            told = f"--task {task}" + (f" --train-share {share:g}" if share is not None else "")
            start = f'polysense compare {told} --backbone {BASES[base]} --cells "$CELLS"'
            yield f"# {'; '.join(column.title for column in columns)}: {_settings(task)}"
            for text, line in here.items():
                yield f"#   {line.label}, {'+'.join(('text', *line.modalities))}"
                for seed in range(seeds):
                    number += 1
                    output = f'--output "$CELLS/tables/{number}.json"'
                    yield f"run {start} --run {_quoted(text)} --seeds 1 --first-seed {seed} {output}"
            runs = " ".join(f"--run {_quoted(text)}" for text in here)
            name = comparison_file(base, task, share)
            collect.append(f'table {start} {runs} --seeds {seeds} --output "$OUT/{name}"')
        yield ""
    for line in entry.lines:
        if "paper" in line.probe:
            tasks = dict.fromkeys(column.task for column in entry.columns)
            asked = line.probe["paper"]
            collect += [
                f'table polysense probe --task {task} {asked} --output "$OUT/{probe_file(asked, task)}"'
                for task in tasks
            ]
        elif line.run is None:
            yield f"# No command: {line.label}: {line.note}"
    for base in entry.bases:
        told = f'--collect "$OUT" --base {base} --output "$OUT/{table_file(entry, base)}"'
        collect.append(f"table polysense reproduce {entry.id} {told}")
    yield from ("", "# The tables, of finished runs; last the paper's, a backbone each.", *collect)


def _settings(task: str) -> str:
    """What a task is trained with at the papers' scale: its defaults."""
    values = asdict(get_task(task).defaults)
    return ", ".join(f"{name} {value:g}" for name, value in values.items() if value is not None)


def _quoted(text: str) -> str:
    """A run for the shell, which puts in the value of $PICTURES and nothing else."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`")
    return f'"{plain}"' if "$PICTURES" in text else shlex.quote(text)
