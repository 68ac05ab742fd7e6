"""What a training run is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from polysense.errors import PolysenseError
from polysense.models.adapters import AdapterSettings
from polysense.prototypes.reading import Precision, Reading, Selection
from polysense.prototypes.windows import LongTexts
from polysense.tasks import Defaults
from polysense.towers.tower import SaliencyLayers
from polysense.training.checks import check_numbers, check_switches, with_given

_WHOLE = ("batch_size", "gradient_accumulation", "max_length", "max_target_length", "beams", "k", "seed")
_READING = ("layers", "long_texts", "precision", "selection")
_ADAPTER = ("adapter", "adapter_options")
_SWITCHES = ("bf16", "compile", "group_by_length", "prompt")
_LATER = ("compile", "gradient_accumulation")
_MAY_BE_ZERO = ("weight_decay", "warmup", "dropout", "seed")
_MOST = {"seed": 2**32 - 1, "dropout": 1, "warmup": 1}


@dataclass(frozen=True)
class TrainingSettings:
    """Hyper-parameters of a run; the defaults are MaCSC's for GLUE (A.3).

    Attributes:
        learning_rate: of AdamW for the backbone, at its peak.
        method_learning_rate: for the method's own layers, which start from nothing; None: as the backbone's.
        batch_size: samples a batch, of each process.
        epochs: passes over the training split.
        weight_decay: of AdamW.
        warmup: share of the steps over which the learning rate rises; it falls linearly to zero after.
        max_length: of the backbone's token sequences.
        max_target_length: of a text to write, in tokens.
        beams: of the search for it.
        k, layers, long_texts, precision, selection: how prototypes are read (see `Reading`).
        dropout: on the representations r[m].
        bf16: train in mixed precision, the backbone's products in bfloat16; the method stays in single precision.
        compile: let `torch.compile` compile the backbone, where steps take their time; the first ones wait for it.
        gradient_accumulation: batches to a step, which takes the mean of their gradients. A contrast is within a batch.
        group_by_length: make batches of rows of about the same length, which hold less padding.
        adapter: train only "lora", "ia3", "prompt" or nothing ("frozen") of the backbone; None: all of it.
        adapter_options: of that kind (see `AdapterSettings`).
        prompt: prompt learning: read a task of classes as a choice between statements (see `tasks.prompts`).
        seed: of initial weights, order of the data and dropout.
    """

    learning_rate: float = 1e-4
    method_learning_rate: float | None = None
    batch_size: int = 32
    epochs: float = 3
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_length: int = 128
    max_target_length: int = 32
    beams: int = 5
    k: int = 4
    layers: SaliencyLayers = "last"
    long_texts: LongTexts = "window"
    precision: Precision = "half"
    selection: Selection = "saliency"
    dropout: float = 0.1
    bf16: bool = False
    compile: bool = False
    gradient_accumulation: int = 1
    group_by_length: bool = False
    adapter: str | None = None
    adapter_options: Mapping[str, Any] = field(default_factory=dict)
    prompt: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self.reading()
        self.adapter_settings()
        check_switches(self, _SWITCHES)
        left = (
            _READING + _SWITCHES + _ADAPTER + (("method_learning_rate",) if self.method_learning_rate is None else ())
        )
        numbers = [field.name for field in fields(self) if field.name not in left]
        check_numbers(self, numbers, whole=_WHOLE, may_be_zero=_MAY_BE_ZERO, most=_MOST)

    def reading(self) -> Reading:
        """How prototypes are read."""
        return Reading(self.k, self.layers, self.long_texts, self.precision, self.selection)

    def adapter_settings(self) -> AdapterSettings | None:
        """Which part of the backbone is trained; None for all of it.

        Raises:
            PolysenseError: unknown adapter or option, a value out of range, or options without an adapter.
        """
        if self.adapter is not None:
            return AdapterSettings.of(self.adapter, self.adapter_options)
        if self.adapter_options:
            raise PolysenseError(f"adapter option {next(iter(self.adapter_options))} without an adapter: name its kind")
        return None

    def identity(self) -> dict[str, Any]:
        """All of them, but for what later versions added and this run leaves at its default.

        So runs of before keep their names, and can be gone on with.
        """
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value != defaults[name]}

    @classmethod
    def for_task(cls, defaults: Defaults, **given: Any) -> TrainingSettings:
        """A task's defaults, with what was given (not None) instead.

        Raises:
            PolysenseError: a name is no setting, or a value is out of range.
        """
        return cls(**with_given(cls, asdict(defaults), given))
