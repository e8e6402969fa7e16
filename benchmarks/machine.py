"""The machine that was measured, in words: a number means nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> dict[str, str]:
    """Give CPU model, cores, memory, Python, OS, and the load that others put on the machine at this moment."""
    cores = usable_cores()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cores": str(len(cores)) if len(cores) == os.cpu_count() else f"{len(cores)} of {os.cpu_count()}",
        "memory": f"{memory / 1024**3:.1f} GiB",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "os": platform.platform(),
        "load": f"{os.getloadavg()[0]:.2f} at the start",
    }


def usable_cores() -> list[int]:
    """Give the cores that this process may use; where the OS can't pin (macOS), as many numbers as it has cores."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join(models[0].split()) if models else platform.processor() or platform.machine()
