"""Whether the hub answers, and the errors of Hugging Face's loaders, said in one line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, get_session

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError

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


@contextmanager
def hub_errors(what: str, source: str) -> Iterator[None]:
    """Turns a loader's failure into a `PolysenseError` that names `what` ("backbone", "tower", ...) and `source`.

    Where `source` has to come from the hub and the hub does not answer, only its cache on this machine is asked.
    """
    if not source:
        raise PolysenseError(f"{what}: its name is empty; give a name, a hub id or a folder")
    local = Path(resolve_model(source)).exists()
    offline = constants.HF_HUB_OFFLINE
    reachable = local or (not offline and hub_answers())
    try:
        # Left online, the hub's client retries each file for half a minute and says so on standard error.
        constants.HF_HUB_OFFLINE = offline or not reachable
        yield
    except PolysenseError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        reason = " ".join(str(error).split())[:200]
        if local:
            raise PolysenseError(f"{what} {source}: the folder holds no model that can be loaded: {reason}") from error
        found = f"the hub gave no such model: {reason}" if reachable else f"{constants.ENDPOINT} cannot be reached"
        raise PolysenseError(
            f"{what} {source}: no such folder, and {found}; give a local folder or check the name and the network"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = offline
