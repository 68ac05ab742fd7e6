"""Whether `torch.compile` works here."""

from __future__ import annotations

import torch

from polysense.errors import PolysenseError


def check_compiler() -> None:
    """Compile something small, since a compiler that is not there would show after the data are read.

    Raises:
        PolysenseError: nothing can be compiled on this machine, e.g. since it has no C++ compiler.
    """
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    numbers = torch.ones(2, device=device)
    try:
        torch.compile(torch.sin)(numbers)
    except Exception as error:  # whatever a compiler may say
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise PolysenseError(f"torch.compile does not work here: {reason}; leave --compile out") from error
