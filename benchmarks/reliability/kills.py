"""`python -m benchmarks.reliability.kills`: programs killed at random moments, gone on with, and compared.

Each program is run once as it is; then again and again, each time with a store of its own, killed (SIGKILL) at a moment
drawn evenly over its time, begun again with --resume where it had a checkpoint, and compared with the first: files bit
for bit, scores to the last digit. Each third run is killed a second time, while it goes on. A program that was never
killed, or that could have gone on from a checkpoint and never did, has shown nothing, which is a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmarks.made_up import sentences, write_bert, write_rows
from benchmarks.timing import print_rows
from polysense.folder import RESULTS_FILE, file_digest, working_folder, write_json

ROWS = 96
SCENES, TEST_SCENES = 120, 20
TWICE = 3
"""Each so many runs, from the first on, one is killed twice."""

OUTPUT = "output"


@dataclass(frozen=True)
class Program:
    """Something that can be killed.

    Attributes:
        name: in the table.
        arguments: of `polysense`, for a folder of the run's own; what counts is written to `OUTPUT` in it.
        digest: what must come out the same, of `OUTPUT`.
        resumes: whether it goes on from checkpoints when it is told to; else by itself, from what it finds.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    digest: Callable[[Path], dict[str, Any]]
    resumes: bool


def of_model(folder: Path) -> dict[str, Any]:
    """Weights and scores."""
    results = json.loads((folder / RESULTS_FILE).read_text())
    told = {name: results[name] for name in ("scores", "weights", "losses") if name in results}
    return {"weights": file_digest(folder / "model.safetensors"), **told}


def of_store(folder: Path) -> dict[str, Any]:
    """Every file but the locks."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".lock")
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def programs(data: Path) -> list[Program]:
    """Training by MaCSC and MASE, extraction, pre-training and fine-tuning with pictures, each of seconds.

    Args:
        data: folder of what `write_data` writes.
    """
    rows = ["--train-file", str(data / "rows.jsonl"), "--validation-file", str(data / "rows.jsonl")]
    fit = ["--epochs", "6", "--batch-size", "16", "--kind", "classification"]

    def to(folder: Path) -> list[str]:
        return ["--output-dir", str(folder / OUTPUT)]

    def train(method: str) -> Callable[[Path], list[str]]:
        return lambda folder: ["train", "--method", method, *rows, *fit, "--store", str(folder / "store"), *to(folder)]

    def extract(folder: Path) -> list[str]:
        return ["extract", "--file", str(data / "many.jsonl"), "--store", str(folder / OUTPUT), "--scene-graphs"]

    def vl_pretrain(folder: Path) -> list[str]:
        # The checkpoint after 1,584 steps lies within the last tenth, over which losses are averaged; and one step more
        # than 1,682 would be another line of the log.
        return [*pretraining(data), "--steps", "1682", *to(folder)]

    def vl_train(folder: Path) -> list[str]:
        asked = ["--task", "vqa", "--data", str(data / "world"), "--steps", "1121", "--batch-size", "4"]
        return ["vl", "train", str(data / "start"), *asked, *to(folder)]

    return [
        Program("train, MaCSC", train("macsc"), of_model, True),
        Program("train, MASE", train("mase"), of_model, True),
        Program("extract", extract, of_store, False),
        Program("vl pretrain", vl_pretrain, of_model, True),
        Program("vl train", vl_train, of_model, True),
    ]


def pretraining(data: Path) -> list[str]:
    """A tiny model on the world's captions, but for how long and where to."""
    small = ["--backbone", str(data / "bert"), "--option", "text_layers=1", "--option", "unified_layers=1"]
    return ["vl", "pretrain", str(data / "world" / "train"), "--batch-size", "4", *small]


def write_data(data: Path) -> None:
    """Rows with a class that their words tell, a world of scenes, a tiny BERT, and a start for fine-tuning on them."""
    for name, count in (("rows", ROWS), ("many", 40 * ROWS)):
        write_rows(data / f"{name}.jsonl", sentences(count, 2, 12))
    parts = [part for name in ("validation", "test", "test-seen") for part in (f"--{name}", str(TEST_SCENES))]
    write_bert(data / "bert", positions=256)
    polysense(["vl", "world", "--output-dir", str(data / "world"), "--scenes", str(SCENES), *parts])
    polysense([*pretraining(data), "--steps", "20", "--output-dir", str(data / "start")])


def polysense(arguments: Sequence[str], kill_after: float | None = None) -> bool:
    """Run a command; whether it ended by itself.

    Raises:
        RuntimeError: it ended badly.
    """
    command = [sys.executable, "-m", "polysense", *arguments, "--json"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            code = process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
        said.seek(0)
        if code:
            raise RuntimeError(f"polysense {' '.join(arguments)}: {said.read()[-2000:]}")
    return True


def run_killed(program: Program, folder: Path, moments: Sequence[float]) -> tuple[int, int]:
    """Run a program to its end, killed so many seconds after it began, and after each time that it went on.

    Returns:
        how often it was killed, and how often it went on from a checkpoint.
    """
    killed = resumed = 0
    arguments = program.arguments(folder)
    again: list[str] = []
    for moment in (*moments, None):
        if polysense([*arguments, *again], moment):
            break
        killed += 1
        if (folder / OUTPUT / RESULTS_FILE).exists():
            break  # killed after all was written, there is nothing to do
        checkpoint = program.resumes and any(working_folder(folder / OUTPUT).glob("checkpoint-*"))
        resumed += checkpoint
        again = ["--resume"] if checkpoint else []
    return killed, resumed


def survives(program: Program, kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill a program at random moments, and compare what comes out in the end: the program's line in the table.

    Runs that ended before their moment must come out the same too, but are not counted as "the_same".
    """
    whole = folder / "whole"
    began = time.perf_counter()
    polysense(program.arguments(whole))
    lasts = time.perf_counter() - began
    expected = program.digest(whole / OUTPUT)
    drawn = random.Random(seed)
    times_killed, same, resumed = [], 0, 0
    different = []
    for number in tqdm(range(kills), desc=program.name, unit="kill"):
        run = folder / str(number)
        moments = [drawn.uniform(0, lasts) for _ in range(1 if number % TWICE else 2)]
        killed, from_checkpoint = run_killed(program, run, moments)
        times_killed.append(killed)
        resumed += from_checkpoint
        if program.digest(run / OUTPUT) != expected:
            different.append([round(moment, 2) for moment in moments])
        elif killed:
            same += 1
        shutil.rmtree(run)
    return {
        "program": program.name,
        "seconds": round(lasts, 1),
        "runs": kills,
        "killed": sum(times > 0 for times in times_killed),
        "killed_twice": times_killed.count(2),
        "from_a_checkpoint": resumed,
        "the_same": same,
        "different_at_seconds": different,
    }


def failures(row: Mapping[str, Any], resumes: bool) -> list[str]:
    """What a program's line in the table has against it, a line each.

    Args:
        resumes: as the program's.
    """
    found = []
    if row["different_at_seconds"]:
        found.append(f"{len(row['different_at_seconds'])} of {row['runs']} runs came out otherwise")
    if not row["killed"]:
        found.append("no run was killed before its end, which shows nothing; give more --kills")
    elif resumes and not row["from_a_checkpoint"]:
        found.append("no run went on from a checkpoint, so that --resume was not shown; give more --kills")
    return [f"{row['program']}: {what}" for what in found]


def main(arguments: Sequence[str]) -> int:
    """Kill all, print the table; 1 where something came out otherwise, or was not shown."""
    parser = argparse.ArgumentParser("python -m benchmarks.reliability.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="runs of a program that are killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    names = [program.name for program in programs(Path())]
    parser.add_argument("--program", action="append", choices=names, help="repeatable; else all")
    parser.add_argument("--output", type=Path, default=Path("build/kills.json"))
    given = parser.parse_args(arguments)
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        write_data(data)
        for program in programs(data):
            if given.program is None or program.name in given.program:
                folder = data / program.name.replace(" ", "-")
                rows.append(survives(program, given.kills, given.seed, folder))
                failed += failures(rows[-1], program.resumes)
    write_json(given.output, {"rows": rows})
    print_rows(rows, "Killed at random moments, and gone on with")
    for line in failed:
        print(line, file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
