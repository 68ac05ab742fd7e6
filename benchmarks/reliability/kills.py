"""`python -m benchmarks.reliability.kills`: programs killed at random moments, gone on with, and compared.

Each program is run once as it is; then again and again, killed (SIGKILL) at a moment drawn evenly over its time, begun
again with --resume where it had a checkpoint, and compared with the first: files bit for bit, scores to the last digit.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmarks.made_up import sentences, write_rows
from benchmarks.timing import print_rows
from polysense.folder import RESULTS_FILE, file_digest, working_folder, write_json

ROWS = 96
SCENES = 120


@dataclass(frozen=True)
class Program:
    """Something that can be killed.

    Attributes:
        name: in the table.
        arguments: of `polysense`, for the folder that it writes to.
        digest: what must come out the same, of that folder.
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
    """Training by MaCSC and MASE, extraction, and pre-training, each of seconds.

    Args:
        data: folder of the rows and the world.
    """
    rows = ["--train-file", str(data / "rows.jsonl"), "--validation-file", str(data / "rows.jsonl")]
    fit = ["--epochs", "6", "--batch-size", "16", "--store", str(data / "store"), "--kind", "classification"]

    def train(method: str) -> Callable[[Path], list[str]]:
        return lambda folder: ["train", "--method", method, *rows, *fit, "--output-dir", str(folder)]

    return [
        Program("train, MaCSC", train("macsc"), of_model, True),
        Program("train, MASE", train("mase"), of_model, True),
        Program(
            "extract",
            lambda folder: ["extract", "--file", str(data / "many.jsonl"), "--store", str(folder), "--scene-graphs"],
            of_store,
            False,
        ),
        Program(
            "vl pretrain",
            lambda folder: [
                *("vl", "pretrain", str(data / "world" / "train"), "--output-dir", str(folder), "--steps", "1500"),
                *("--batch-size", "4", "--option", "text_layers=1", "--option", "unified_layers=1"),
            ],
            of_model,
            True,
        ),
    ]


def write_data(data: Path) -> None:
    """Rows with a class that their words tell, and a world of scenes."""
    for name, count in (("rows", ROWS), ("many", 40 * ROWS)):
        write_rows(data / f"{name}.jsonl", sentences(count, 2, 12))
    polysense(["vl", "world", "--output-dir", str(data / "world"), "--scenes", str(SCENES), "--validation", "20"])


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


def survives(program: Program, kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill a program at random moments, one a run, and compare what comes out in the end."""
    whole = folder / "whole"
    began = time.perf_counter()
    polysense(program.arguments(whole))
    lasts = time.perf_counter() - began
    expected = program.digest(whole)
    drawn = random.Random(seed)
    same = resumed = killed = 0
    different = []
    for number in tqdm(range(kills), desc=program.name, unit="kill"):
        target, moment = folder / str(number), drawn.uniform(0, lasts)
        arguments = program.arguments(target)
        if not polysense(arguments, moment):
            killed += 1
            checkpoint = program.resumes and any(working_folder(target).glob("checkpoint-*"))
            resumed += checkpoint
            if not (target / RESULTS_FILE).exists():  # killed after all was written, there is nothing to do
                polysense([*arguments, "--resume"] if checkpoint else arguments)
        if program.digest(target) == expected:
            same += 1
        else:
            different.append(round(moment, 2))
        shutil.rmtree(target)
    told = {"program": program.name, "seconds": round(lasts, 1), "runs": kills, "killed": killed}
    return {**told, "from_a_checkpoint": resumed, "the_same": same, "different_at_seconds": different}


def main(arguments: Sequence[str]) -> int:
    """Kill all, print the table; 1 where something came out otherwise."""
    parser = argparse.ArgumentParser("python -m benchmarks.reliability.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="a program")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--program", action="append", help="repeatable; else all")
    parser.add_argument("--output", type=Path, default=Path("build/kills.json"))
    given = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        write_data(data)
        for program in programs(data):
            if given.program is None or program.name in given.program:
                folder = data / program.name.replace(" ", "-")
                rows += [survives(program, given.kills, given.seed, folder)]
    write_json(given.output, {"rows": rows})
    print_rows(rows, "Killed at random moments, and gone on with")
    return int(any(row["the_same"] < row["runs"] for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
