"""All weights of a checkpoint in their stored form, read one block at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.decoder.checkpoint import Checkpoint
from edge_sparse.converters.decoder.options import DecoderOptions
from edge_sparse.converters.decoder.pack import WeightFormat, pack_matrix, packed_limit
from edge_sparse.converters.decoder.plan import DecoderWeights
from edge_sparse.converters.decoder.rounding import RoundingError
from edge_sparse.converters.decoder.spool import Spool

from edge_sparse.format.spec import ALIGNMENT
from edge_sparse.plan import DType, SparseMatrix

__all__ = ["PackedWeights", "capacity", "pack_weights"]


@dataclass(frozen=True)
class PackedWeights:
    """The weights, and what rounding them to integers lost, by matrix."""

    weights: DecoderWeights
    errors: dict[str, RoundingError]


def capacity(checkpoint: Checkpoint) -> int:
    """Return how many bytes a spool must be able to hold, whatever the format of the weights."""
    shapes = [shape for shape in checkpoint.config.tensors.values() if len(shape) == 2]
    head = (checkpoint.config.vocab, checkpoint.config.dim)
    return sum(packed_limit(*shape, DType.F32) + ALIGNMENT for shape in (*shapes, head))


def pack_weights(
    checkpoint: Checkpoint, options: DecoderOptions, spool: Spool, report: Callable[[float], None]
) -> PackedWeights:
    """Prune and pack every tensor; values go to the spool.

    The embedding stays whole: beside float weights it is a table of their type, else a matrix of s8, or the very
    matrix of a tied head where that is as good.

    Parameters
    ----------
    report : callable
        Called with the share that is done.
    """
    config = checkpoint.config
    shared = config.tied and options.shares_head
    jobs: list[tuple[str, str, WeightFormat]] = []
    vectors: dict[str, npt.NDArray[np.generic]] = {}
    for name, shape in config.tensors.items():
        if name == "embedding":
            form = options.head if shared else WeightFormat(_embedding_type(options), 0.0, 16, options.segment)
            jobs.append((name, name, form))
        elif len(shape) == 1:
            vectors[name] = checkpoint.vector(name)
        elif name != "head":
            jobs.append((name, name, options.body))
    if not shared:
        jobs.append(("head", "embedding" if config.tied else "head", options.head))
    matrices: dict[str, SparseMatrix] = {}
    errors: dict[str, RoundingError] = {}
    total = sum(math.prod(checkpoint.tensors[source].shape) for _, source, _ in jobs)
    done = 0
    for name, source, form in jobs:
        if name == "embedding" and not form.integer:
            vectors[name] = _table(checkpoint, form.dtype, spool)
        else:
            matrices[name], errors[name] = pack_matrix(name, checkpoint, source, form, spool)
        done += math.prod(checkpoint.tensors[source].shape)
        report(done / total)
    return PackedWeights(DecoderWeights(matrices, vectors), errors)


def _embedding_type(options: DecoderOptions) -> DType:
    return DType.S8 if options.body.integer else options.body.dtype


def _table(checkpoint: Checkpoint, dtype: DType, spool: Spool) -> npt.NDArray[np.generic]:
    """Return the embedding as rows of floats, in the spool."""
    start = spool.begin()
    for block in checkpoint.blocks("embedding"):
        spool.add(block.astype(dtype.numpy))
    return spool.since(start, dtype.numpy).reshape(checkpoint.tensors["embedding"].shape)
