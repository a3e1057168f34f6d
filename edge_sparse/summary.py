"""What is in a model: inputs, outputs, matrices and their sizes, without running it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_sparse.format.column_index import encode_columns
from edge_sparse.plan import ImagePreprocessing, Model, Op, Plan, SparseMatrix, Storage
from edge_sparse.port import Port

__all__ = ["MatrixSummary", "ModelSummary", "PlanSummary", "inspect", "summarise"]


@dataclass(frozen=True)
class MatrixSummary:
    """One stored matrix.

    ``step`` is the first step that uses it. ``pattern`` is ``dense`` or the group sizes of its bands, for example
    ``gs4x1``. ``bytes`` holds values, scales, counts and column index; ``dense_bytes`` is the size of all weights in
    float32.
    """

    name: str
    step: str
    rows: int
    columns: int
    kernel: tuple[int, int]
    pattern: str
    dtype: str
    density: float
    bytes: int
    dense_bytes: int


@dataclass(frozen=True)
class PlanSummary:
    """One plan: what goes in and out, and how much memory and work a run takes."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: int
    arena_bytes: int


@dataclass(frozen=True)
class ModelSummary:
    """All that ``edge-sparse inspect`` shows. ``file_bytes`` is 0 for a model in memory."""

    file_bytes: int
    plans: tuple[PlanSummary, ...]
    matrices: tuple[MatrixSummary, ...]
    constant_bytes: int
    state_bytes: int
    labels: tuple[str, ...]
    image: ImagePreprocessing | None
    metadata: Mapping[str, object]

    @property
    def matrix_bytes(self) -> int:
        """Stored bytes of all matrices."""
        return sum(matrix.bytes for matrix in self.matrices)

    @property
    def dense_bytes(self) -> int:
        """Bytes of all matrices as dense float32."""
        return sum(matrix.dense_bytes for matrix in self.matrices)

    @property
    def density(self) -> float:
        """Kept share of the weights in matrices, 0 to 1."""
        weights = sum(matrix.rows * matrix.columns for matrix in self.matrices)
        kept = sum(matrix.rows * matrix.columns * matrix.density for matrix in self.matrices)
        return kept / max(1, weights)


def inspect(path: str | os.PathLike[str]) -> ModelSummary:
    """Read and validate an ``.egs`` file and return what is in it.

    Raises
    ------
    FileFormatError
        The file breaks a rule of the format.
    """
    from edge_sparse.format.reader import read_model

    return summarise(read_model(Path(path)), Path(path).stat().st_size)


def summarise(model: Model, file_bytes: int = 0) -> ModelSummary:
    """Return what is in a model."""
    steps = {
        int(step.attributes["matrix"]): step
        for plan in reversed(model.plans)
        for step in reversed(plan.steps)
        if step.attributes.get("matrix", -1) >= 0
    }
    matrices = []
    for number, matrix in enumerate(model.matrices):
        step = steps.get(number)
        kernel = (1, 1)
        if step is not None and step.op is Op.SPMM:
            kernel = (int(step.attributes["kernel_h"]), int(step.attributes["kernel_w"]))
        matrices.append(_matrix(matrix, step.name if step else "", kernel))
    constants = [
        tensor.data.nbytes for tensor in model.tensors if tensor.storage is Storage.CONSTANT and tensor.data is not None
    ]
    return ModelSummary(
        file_bytes=file_bytes,
        plans=tuple(_plan(plan) for plan in model.plans),
        matrices=tuple(matrices),
        constant_bytes=sum(constants),
        state_bytes=model.state_bytes,
        labels=model.labels,
        image=model.image,
        metadata=model.metadata,
    )


def _matrix(matrix: SparseMatrix, step: str, kernel: tuple[int, int]) -> MatrixSummary:
    _, index = encode_columns(matrix)
    scales = 0 if matrix.scales is None else matrix.scales.nbytes
    groups = sorted({band.group for band in matrix.bands}, reverse=True)
    return MatrixSummary(
        name=matrix.name,
        step=step,
        rows=matrix.rows,
        columns=matrix.columns,
        kernel=kernel,
        pattern="dense" if not index and matrix.density == 1 else "+".join(f"gs{group}x1" for group in groups),
        dtype=matrix.dtype.name.lower(),
        density=matrix.density,
        bytes=matrix.values.nbytes + scales + matrix.counts.nbytes + len(index),
        dense_bytes=4 * matrix.rows * matrix.columns,
    )


def _plan(plan: Plan) -> PlanSummary:
    return PlanSummary(
        plan.name,
        tuple(Port.of(plan.tensors[number]) for number in plan.inputs),
        tuple(Port.of(plan.tensors[number]) for number in plan.outputs),
        len(plan.steps),
        plan.arena_bytes,
    )
