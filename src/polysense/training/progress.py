"""The progress of a training run, on standard error."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback


class ProgressBar(TrainerCallback):
    """One bar a run, with the epoch, the newest loss and the newest validation score."""

    def __init__(self, title: str, metric: str) -> None:
        self.title, self.metric = title, metric
        self.bar: Any = None
        self.shown: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.title, unit="step", leave=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        names = {"epoch": "epoch", "loss": "loss", f"eval_{self.metric}": self.metric}
        self.shown |= {names[k]: f"{v:.3g}" for k, v in (logs or {}).items() if k in names}
        if self.bar is not None:
            self.bar.set_postfix(self.shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.bar.close()
        self.bar = None
