"""Show what this machine offers: processor, vector registers, backends, kernel cache, versions."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
from pathlib import Path

from edge_sparse.backends.base import BackendStatus, available_backends
from edge_sparse.cli.console import Console
from edge_sparse.cli.text import Table, size
from edge_sparse.machine import VERSIONED, processor_features, processor_name, usable_cores, versions

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "show processor, backends and versions"
EPILOG = """\
examples:
  edge-sparse devices
  edge-sparse devices --json > machine.json     to go with a bug report
"""

#: Environment variables that change behaviour, and how.
VARIABLES = {
    "EDGE_SPARSE_CACHE_DIR": "folder of compiled kernels; 'off' compiles anew in every process",
    "EDGE_SPARSE_LIBRARY": "another file of the C library than the installed one",
    "XDG_CACHE_HOME": "parent of the cache folder when the variable above is not set",
    "NUMBA_CPU_NAME": "processor to compile for, in LLVM's words (default: this one)",
    "NUMBA_CPU_FEATURES": "its features, in LLVM's words, for example +avx2,+fma",
    "NO_COLOR": "no colours",
}


@dataclasses.dataclass(frozen=True)
class VectorUnit:
    """What kernels are compiled for: LLVM's processor name, float32 lanes, registers, and register tiles by pattern."""

    cpu: str
    lanes: int
    registers: int
    tiles: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are no options of its own."""


def run(options: argparse.Namespace, console: Console) -> int:
    """Collect and print."""
    backends = available_backends()
    vector = _vector_unit() if backends["numba"].available else None
    folder, files, used = _cache()
    found = versions()
    settings = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    console.document(
        {
            "processor": processor_name(),
            "architecture": platform.machine(),
            "system": platform.platform(),
            "cores": usable_cores(),
            "features": processor_features(),
            "vector_unit": vector,
            "backends": backends,
            "cache": {"folder": folder, "files": files, "bytes": used},
            "versions": found,
            "environment": settings,
        }
    )
    console.line(f"processor: {processor_name()} ({platform.machine()}), {usable_cores()} usable core(s)")
    console.line(f"features: {' '.join(processor_features()) or 'unknown'}")
    if vector:
        console.line(f"kernels for: {vector.cpu}, {vector.registers} vector registers of {vector.lanes} float32 lanes")
        console.line("register tiles: " + ", ".join(f"{name} {tile}" for name, tile in vector.tiles.items()))
    console.line(f"kernel cache: {folder or 'turned off'}, {files} file(s), {size(used)}")
    console.line()
    console.table(_backend_table(backends))
    console.line()
    console.table(_version_table(found))
    console.line()
    rows = [(name, settings.get(name, "not set"), meaning) for name, meaning in VARIABLES.items()]
    console.table(Table(("environment variable", "value", "meaning"), rows))
    return 0


def _backend_table(backends: dict[str, BackendStatus]) -> Table:
    rows = [(name, "yes" if status.available else "no", status.detail) for name, status in backends.items()]
    return Table(("backend", "available", "detail"), rows)


def _version_table(found: dict[str, str]) -> Table:
    rows = [("python", found["python"], ""), ("edge_sparse", found["edge_sparse"], "")]
    for name, extra in VERSIONED.items():
        missing = f"pip install 'edge_sparse[{extra}]'" if name not in found else ""
        rows.append((name, found.get(name, "not installed"), missing))
    return Table(("package", "version", "to get it"), rows)


def _vector_unit() -> VectorUnit:
    from edge_sparse.backends.numba import spmm_chw, spmm_nhwc
    from edge_sparse.backends.numba.target import host_target

    target, tiles = host_target(), {}
    for group in (1, 2, 4, 8):
        rows, vectors = spmm_chw.choose_tile(target, group)
        tiles[f"gs{group}x1 chw"] = f"{rows} rows x {vectors * target.lanes} pixels"
    for group in (16, 32):
        lanes, vectors, pixels = spmm_nhwc.choose_tile(target, group)
        tiles[f"gs{group}x1 nhwc"] = f"{vectors * lanes} rows x {pixels} pixels"
    return VectorUnit(target.cpu, target.lanes, target.registers, tiles)


def _cache() -> tuple[Path | None, int, int]:
    """Return the cache's folder (None when it is off), its files and their bytes; makes nothing."""
    from edge_sparse.backends.numba.cache import cache_folder

    folder = cache_folder()
    if folder is None or not folder.is_dir():
        return folder, 0, 0
    sizes = []
    for path in folder.glob("*.o"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # another process has made room in a full cache since the folder was read
    return folder, len(sizes), sum(sizes)
