"""Runs every benchmark, prints the table and writes `build/bench.json`."""

from pathlib import Path

from benchmarks import training_step
from benchmarks.timing import report

report(training_step.benchmarks(), Path("build/bench.json"))
