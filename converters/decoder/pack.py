"""One matrix of a checkpoint, pruned and packed block of rows by block of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.decoder.checkpoint import Checkpoint
from edge_sparse.converters.decoder.rounding import RoundingError, rounding_error
from edge_sparse.converters.decoder.spool import Spool
from edge_sparse.converters.decoder.stacking import stack_rows
from edge_sparse.converters.pruning.groups import group_scores, group_sizes, keep_best

from edge_sparse.errors import ConvertError
from edge_sparse.format.packing import bands_of, pack_dense
from edge_sparse.plan import DType, SparseMatrix

__all__ = ["WeightFormat", "pack_matrix", "packed_limit"]

#: Strips of every block on which the rounding error is measured.
_SAMPLE = 8
_HALF_LIMIT = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class WeightFormat:
    """How a matrix is stored: element type, share of the groups to drop, rows per group, kept columns per scale."""

    dtype: DType = DType.F32
    sparsity: float = 0.0
    group: int = 16
    segment: int = 32

    @property
    def integer(self) -> bool:
        """Whether weights are integers with scales."""
        return self.dtype in (DType.S8, DType.S4)


def packed_limit(rows: int, columns: int, dtype: DType) -> int:
    """Return how many bytes the values of a matrix take at most."""
    row = (columns + 8) // 2 if dtype is DType.S4 else (columns + 8) * dtype.numpy.itemsize
    return rows * row


def pack_matrix(
    name: str, checkpoint: Checkpoint, source: str, form: WeightFormat, spool: Spool
) -> tuple[SparseMatrix, RoundingError]:
    """Return the matrix, whose values lie in the spool, and the rounding error of a sample of its strips.

    Parameters
    ----------
    name : str
        What the file calls the matrix.
    source : str
        What the checkpoint calls it; a head that is tied has the embedding's weights.
    """
    start, error = spool.begin(), RoundingError()
    keep = _kept_groups(checkpoint, source, form) if form.sparsity else None
    parts = []
    for weights, mask in _blocks(checkpoint, source, form, keep):
        if form.dtype is DType.F16 and np.abs(weights).max(initial=0) > _HALF_LIMIT:
            raise ConvertError("WEIGHTS_OVERFLOW", f"weights of {source} exceed {_HALF_LIMIT:.0f}", "use --dtype f32")
        packed = _pack(name, weights, mask, form)
        if form.integer:
            rows = min(len(weights) // form.group, _SAMPLE) * form.group or len(weights)
            sample = mask[: sum(band.strips for band in bands_of(rows, form.group))]
            error += rounding_error(weights[:rows], _pack(name, weights[:rows], sample, form), sample)
        spool.add(packed.values)
        parts.append(dataclasses.replace(packed, values=np.zeros(0, packed.values.dtype)))
    dtype = np.uint8 if form.integer else form.dtype.numpy
    return stack_rows(name, parts, lambda _: spool.since(start, dtype)), error


def _pack(name: str, weights: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], form: WeightFormat) -> SparseMatrix:
    # Scales of a short row: one, for all that it has.
    segment = form.segment if form.integer and form.segment < weights.shape[1] else 0
    return pack_dense(name, weights, form.group, dtype=form.dtype, segment=segment, kept=mask)


def _kept_groups(checkpoint: Checkpoint, source: str, form: WeightFormat) -> npt.NDArray[np.bool_]:
    """Return which groups of the whole matrix hold the most magnitude, shape (strips, columns)."""
    scores = np.concatenate([group_scores(block, form.group) for block in checkpoint.blocks(source)])
    rows, columns = checkpoint.tensors[source].shape
    return keep_best(scores, group_sizes(rows, columns, form.group), form.sparsity)


def _blocks(
    checkpoint: Checkpoint, source: str, form: WeightFormat, keep: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Yield blocks of rows, each with the columns that its strips keep."""
    strip = 0
    for weights in checkpoint.blocks(source):
        strips = sum(band.strips for band in bands_of(len(weights), form.group))
        shape = (strips, weights.shape[1])
        yield weights, np.ones(shape, np.bool_) if keep is None else keep[strip : strip + strips]
        strip += strips
