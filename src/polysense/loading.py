"""Hugging Face's loaders: whether the hub answers, errors in one line, and weights without a table on the screen."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_session
from transformers import AutoTokenizer
from transformers.utils import find_adapter_config_file
from transformers.utils import logging as transformers_logging

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.folder import check_files
from polysense.tokenizer_files import check_tokenizer_files
from polysense.weight_files import check_weight_files

logger = logging.getLogger(__name__)

PROBE_SECONDS = 8.0
"""How long the hub may take to answer at all before it counts as out of reach."""


def hub_answers(seconds: float = PROBE_SECONDS) -> bool:
    """Whether the hub (`HF_ENDPOINT`) answers anything within `seconds`."""
    answers: list[bool] = []

    def probe() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=seconds)
            answers.append(True)
        except Exception:  # which errors there are depends on the hub client's HTTP library; each means no answer
            answers.append(False)

    # A thread, since the client's time-out does not cover name resolution and starts anew with each address.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers == [True]


class _Switch:
    """A setting of the whole process that threads change at the same time: the last to leave puts back what it was.

    A thread may change it again while it does.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self._users = 0
        self._before: Any = None

    @contextmanager
    def at(self, value: Any) -> Iterator[None]:
        """While the block runs; another thread's value may take its place meanwhile."""
        with self._lock:
            if not self._users:
                self._before = self._read()
            self._users += 1
            self._write(value)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._write(self._before)


_OFFLINE = _Switch(lambda: constants.HF_HUB_OFFLINE, lambda value: setattr(constants, "HF_HUB_OFFLINE", value))
_VERBOSITY = _Switch(transformers_logging.get_verbosity, transformers_logging.set_verbosity)


@contextmanager
def hub_errors(what: str, source: str) -> Iterator[None]:
    """Turns a loader's failure into a `PolysenseError` that names `what` ("backbone", "tower", ...) and `source`.

    Where `source` has to come from the hub and the hub does not answer, only its cache on this machine is asked.
    """
    if not source:
        raise PolysenseError(f"{what}: its name is empty; give a name, a hub id or a folder")
    local = os.path.exists(resolve_model(source))  # False, not an error, for a name that no folder can have
    reachable = local or (not constants.HF_HUB_OFFLINE and hub_answers())
    try:
        # Left online, the hub's client retries each file for half a minute and says so on standard error.
        with nullcontext() if reachable else _OFFLINE.at(True):
            yield
    except PolysenseError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        reason = " ".join(str(error).split())[:200]
        if "trust_remote_code" in str(error):
            raise PolysenseError(
                f"{what} {source}: it needs custom code, which is never run; choose a model that transformers knows"
            ) from error
        if local:
            raise PolysenseError(f"{what} {source}: the folder holds no model that can be loaded: {reason}") from error
        found = f"the hub gave no such model: {reason}" if reachable else f"{constants.ENDPOINT} cannot be reached"
        raise PolysenseError(
            f"{what} {source}: no such folder, and {found}; give a local folder or check the name and the network"
        ) from error


def open_auto(cls: type[Any], source: str | Path) -> Any:
    """What an Auto class of transformers (`AutoConfig`, `AutoTokenizer`, ...) reads of a hub id or a folder.

    Python code beside it is never imported; asked without a word, transformers would offer on the terminal to run it.

    Raises:
        PolysenseError: a tokenizer's settings name a file outside its folder.
        Exception: as `from_pretrained`, which `hub_errors` makes a `PolysenseError`; also where that code is needed.
    """
    if cls is AutoTokenizer:
        check_tokenizer_files(source)
    return cls.from_pretrained(str(source), trust_remote_code=False)


HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
"""Of `from_pretrained`: where and how a file is found."""

WEIGHT_OPTIONS = ("subfolder", "variant", "use_safetensors")
"""Of `from_pretrained`: which files of a folder hold the weights."""


def refuse_adapter(source: str | Path, **options: Any) -> None:
    """Before `from_pretrained` of a model: transformers would apply PEFT's settings beside it, which may import code.

    Args:
        options: as `from_pretrained` takes them; those of the hub count.

    Raises:
        PolysenseError: there are some.
    """
    hub = {name: options[name] for name in HUB_OPTIONS if name in options}
    if find_adapter_config_file(str(source), **hub) is not None:
        raise PolysenseError(
            f"{source}: an adapter of PEFT (adapter_config.json), whose settings may name code to run; merge it into "
            "its model with PEFT and give that model"
        )


def check_model(source: str | Path, concerns: Callable[[str], bool] = lambda _name: True, **options: Any) -> None:
    """Before `from_pretrained` of a model: its files are as they were written, run no code and do not fill the memory.

    Args:
        concerns: as in `check_files`.
        options: as `from_pretrained` takes them.

    Raises:
        PolysenseError: they are not so.
    """
    check_files(Path(source), concerns)
    refuse_adapter(source, **options)
    check_weight_files(Path(source), **{name: options[name] for name in WEIGHT_OPTIONS if name in options})


def no_report() -> AbstractContextManager[None]:
    """While weights are loaded: transformers prints no table of those that are missing and those that are too many."""
    return _VERBOSITY.at(transformers_logging.ERROR)


def load_weights(cls: type[Any], what: str, source: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """A pretrained model, and those of its parameters, by name, that its files lack and that start at random.

    Files hold more than is asked for (heads of an earlier training) and less (a head to be trained). The table of both
    that transformers prints stays off the screen: the caller says what of it matters.

    Args:
        cls: of transformers, with `from_pretrained`.
        what: "backbone", "tower", ... for the error.
        source: a name, a hub id or a folder.
        options: as `from_pretrained` takes them.

    Raises:
        PolysenseError: a weight has another shape in the files, a file of a folder of ours is damaged, or `source` is
            an adapter of PEFT.
    """
    check_model(resolve_model(source), **options)
    with no_report():
        # Shapes are compared below: the error of transformers itself only points at the table.
        model, info = cls.from_pretrained(
            resolve_model(source),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **options,
        )
    if odd := sorted(info["mismatched_keys"]):
        name, found, expected = odd[0]
        raise PolysenseError(
            f"{what} {source}: its weight {name} is of shape {tuple(found)} where its config.json asks for "
            f"{tuple(expected)} ({len(odd)} such in all); mend the configuration or get the whole model again"
        )
    missing = set(info["missing_keys"])
    return model, {name: parameter for name, parameter in model.named_parameters() if name in missing}


def warn_of_random(what: str, source: str, missing: dict[str, Any], read: Any) -> None:
    """Say which weights of what is read start at random; poolers are not read here.

    Args:
        missing: as `load_weights` gives them.
        read: the module that texts go through.
    """
    used = {id(parameter) for name, parameter in read.named_parameters() if "pooler" not in name.split(".")}
    if names := [name for name, parameter in missing.items() if id(parameter) in used]:
        logger.warning(
            "%s %s: %d of its weights are not in its files and start at random, e.g. %s",
            *(what, source, len(names), names[0]),
        )
