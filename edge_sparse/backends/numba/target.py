"""The processor that kernels are compiled for, and what its registers hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

__all__ = ["Target", "host_target", "target_machine"]


@dataclass(frozen=True)
class Target:
    """A processor as code generation sees it.

    ``cpu`` and ``features`` are LLVM's names. ``lanes`` is the number of float32 lanes of a vector register and
    ``registers`` how many there are; both choose the register tiles.
    """

    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int


def _register_file(triple: str, features: str) -> tuple[int, int]:
    enabled = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if triple.startswith(("aarch64", "arm64")):
        return 4, 32
    if "avx512f" in enabled and "avx512vl" in enabled:
        return 16, 32
    if "avx" in enabled:
        return 8, 16
    return 4, 16


def host_target() -> Target:
    """Return this machine's target.

    ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` override it, as they do for Numba itself; tests use them to run the
    narrower instruction sets.
    """
    import llvmlite.binding as llvm

    triple = llvm.get_process_triple()
    cpu = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        named = cpu != llvm.get_host_cpu_name()
        features = "" if named else llvm.get_host_cpu_features().flatten()
    lanes, registers = _register_file(triple, features)
    return Target(triple, cpu, features, lanes, registers)


def target_machine(target: Target) -> Any:
    """Return LLVM's code generator for a target."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    kind = llvm.Target.from_triple(target.triple)
    return kind.create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="default", codemodel="jitdefault"
    )
