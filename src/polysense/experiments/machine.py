"""What a number was made on."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

import torch


@cache
def machine() -> str:
    """The machine that this runs on, in words."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{name}, {os.cpu_count()} cores, {accelerator}"
