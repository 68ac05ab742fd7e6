"""`torch.compile` for the backbone, where a step takes its time."""

from __future__ import annotations

import torch
from torch import nn

from polysense.errors import PolysenseError


def compile_backbone(backbone: nn.Module) -> None:
    """Compile it in its place; its weights keep their names.

    Raises:
        PolysenseError: nothing can be compiled on this machine, e.g. since it has no C++ compiler.
    """
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    numbers = torch.ones(2, device=device)
    try:  # something small, since a compiler that is not there would show after the data are read
        torch.compile(torch.sin)(numbers)
    except Exception as error:  # whatever a compiler may say
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise PolysenseError(f"torch.compile does not work here: {reason}; leave --compile out") from error
    backbone.compile(dynamic=True)  # batches have many lengths
