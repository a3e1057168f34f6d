"""What this machine is: processor, versions of what matters for speed, peak memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path

__all__ = ["VERSIONED", "peak_memory_bytes", "processor_features", "processor_name", "usable_cores", "versions"]

#: Distributions whose versions decide results or speed, and the extra that brings the optional ones.
VERSIONED = {
    "numpy": "",
    "numba": "jit",
    "llvmlite": "jit",
    "torch": "torch",
    "pillow": "image",
    "rich": "cli",
    "jinja2": "report",
}


def processor_name() -> str:
    """Return the processor's name as the system tells it, with family and model where they are known."""
    fields = _cpuinfo()
    named = [f"{name} {fields[name]}" for name in ("cpu family", "model") if name in fields]
    name = fields.get("model name") or platform.processor() or platform.machine()
    return ", ".join([name, *named])


def processor_features() -> tuple[str, ...]:
    """Return the vector instruction sets that the processor offers, in the system's words."""
    fields = _cpuinfo()
    words = (fields.get("flags") or fields.get("Features") or "").split()
    wanted = ("sse", "avx", "fma", "f16c", "amx", "asimd", "neon", "sve", "fphp", "i8mm", "bf16")
    return tuple(sorted({word for word in words if word.startswith(wanted)}))


def _cpuinfo() -> dict[str, str]:
    """Return the first processor's fields of /proc/cpuinfo; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of edge_sparse, Python and the installed ones of ``VERSIONED``."""
    import importlib.metadata

    from edge_sparse import __version__

    found = {"edge_sparse": __version__, "python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_bytes() -> int:
    """Return the largest resident size that this process has had, in bytes."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    # getrusage counts in bytes on macOS and in KiB elsewhere.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
