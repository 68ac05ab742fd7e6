"""Runs the benchmarks, all or those named, prints the table and writes `build/bench.json`."""

import sys
from pathlib import Path

from benchmarks import adapters, graph_attention, prototypes, scene_graphs, store, switches, training_step
from benchmarks.timing import report

MODULES = {
    "prototypes": prototypes,
    "training_step": training_step,
    "store": store,
    "scene_graphs": scene_graphs,
    "graph_attention": graph_attention,
    "adapters": adapters,
    "switches": switches,
}
chosen = sys.argv[1:] or list(MODULES)
report([row for name in chosen for row in MODULES[name].benchmarks()], Path("build/bench.json"))
