"""The tasks a model is fine-tuned and scored on: benchmarks by name, and the user's own files."""

from polysense.tasks.color import CodaTask, color_question
from polysense.tasks.files import load_files, load_labelled, read_texts
from polysense.tasks.glue import MNLI, MRPC, QNLI, QQP, SST2, STSB, GlueTask
from polysense.tasks.metrics import accuracy, compute, spearman
from polysense.tasks.registry import TASKS, get_task, load_task
from polysense.tasks.shape import ShapeTask, shape_question
from polysense.tasks.task import Defaults, Kind, Task, TaskData

__all__ = [
    "MNLI",
    "MRPC",
    "QNLI",
    "QQP",
    "SST2",
    "STSB",
    "TASKS",
    "CodaTask",
    "Defaults",
    "GlueTask",
    "Kind",
    "ShapeTask",
    "Task",
    "TaskData",
    "accuracy",
    "color_question",
    "compute",
    "get_task",
    "load_files",
    "load_labelled",
    "load_task",
    "read_texts",
    "shape_question",
    "spearman",
]
