"""The tasks a model is fine-tuned and scored on: benchmarks by name, and the user's own files."""

from polysense.tasks.color import CodaTask, color_question
from polysense.tasks.commongen import CommonGen, load_commongen_file
from polysense.tasks.csqa import CommonsenseQA, load_csqa_file
from polysense.tasks.files import load_files, load_labelled, read_texts
from polysense.tasks.glue import MNLI, MRPC, QNLI, QQP, SST2, STSB, GlueTask
from polysense.tasks.metrics import accuracy, compute, spearman
from polysense.tasks.registry import TASKS, get_task, load_task
from polysense.tasks.shape import ShapeTask, shape_question
from polysense.tasks.squad import SquadV1, SquadV2
from polysense.tasks.squad_files import load_squad_file
from polysense.tasks.task import Defaults, Kind, Prompt, Task, TaskData
from polysense.tasks.vicomte_color import ColorTask

__all__ = [
    "MNLI",
    "MRPC",
    "QNLI",
    "QQP",
    "SST2",
    "STSB",
    "TASKS",
    "CodaTask",
    "ColorTask",
    "CommonGen",
    "CommonsenseQA",
    "Defaults",
    "GlueTask",
    "Kind",
    "Prompt",
    "ShapeTask",
    "SquadV1",
    "SquadV2",
    "Task",
    "TaskData",
    "accuracy",
    "color_question",
    "compute",
    "get_task",
    "load_commongen_file",
    "load_csqa_file",
    "load_files",
    "load_labelled",
    "load_squad_file",
    "load_task",
    "read_texts",
    "shape_question",
    "spearman",
]
