"""Sessions of the C core that run one kernel variant."""

from __future__ import annotations

import platform

import pytest

from edge_sparse import Session
from edge_sparse.backends.native.library import load_library
from edge_sparse.backends.native.program import NativeProgram
from edge_sparse.errors import BackendError
from edge_sparse.plan import Model

__all__ = ["VARIANTS", "variant_session"]

#: Masks of the variants; those that this processor lacks are skipped.
VARIANTS = {"scalar": 1, "vector": 2, "avx2": 4}
if platform.machine() == "aarch64":
    # Few kernels have a form with dot products; the vector variant runs the other steps.
    VARIANTS["dotprod"] = 8 + 2


def variant_session(model: Model, variant: str, threads: int = 1) -> Session:
    """Return a session of the first plan whose kernels are those of a variant, or skip the test."""
    try:
        library = load_library()
    except BackendError as error:
        pytest.skip(error.args[0])
    if library.es_cpu_variants() & VARIANTS[variant] != VARIANTS[variant]:
        pytest.skip(f"this processor has no {variant}")
    plan = model.plans[0]
    return Session(model, plan, "native", NativeProgram(model, plan, VARIANTS[variant]), threads)
