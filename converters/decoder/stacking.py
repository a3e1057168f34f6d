"""Matrices put together from blocks of rows that were packed one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.plan import Band, SparseMatrix

__all__ = ["stack_rows"]

#: Takes arrays one by one and returns them as one, perhaps outside of memory.
Join = Callable[[list[npt.NDArray[Any]]], npt.NDArray[Any]]


def stack_rows(name: str, blocks: Iterable[SparseMatrix], join: Join = np.concatenate) -> SparseMatrix:
    """Return the matrix whose rows are those of all blocks.

    Parameters
    ----------
    name : str
    blocks : iterable of SparseMatrix
        Of one type, one segment length and one number of columns; all but the last have rows that their groups divide.
    join : callable
        Puts the values of the blocks one behind the other.
    """
    parts = list(blocks)
    first = parts[0]
    bands: list[Band] = []
    row = 0
    for part in parts:
        for band in part.bands:
            if bands and bands[-1].group == band.group:
                bands[-1] = Band(bands[-1].first_row, bands[-1].rows + band.rows, band.group)
            else:
                bands.append(Band(row + band.first_row, band.rows, band.group))
        row += part.rows
    kept = None if all(part.kept is None for part in parts) else np.concatenate([_bitmap(part) for part in parts])
    return SparseMatrix(
        name,
        row,
        first.columns,
        tuple(bands),
        np.concatenate([part.counts for part in parts]),
        kept,
        first.dtype,
        join([part.values for part in parts]),
        first.segment,
        None if first.scales is None else np.concatenate([part.scales for part in parts if part.scales is not None]),
    )


def _bitmap(matrix: SparseMatrix) -> npt.NDArray[np.uint8]:
    """Return which columns every strip keeps, as bits."""
    if matrix.kept is not None and matrix.kept.ndim == 2:
        return np.asarray(matrix.kept, np.uint8)
    mask = np.zeros((matrix.counts.size, matrix.columns), np.bool_)
    mask[np.repeat(np.arange(matrix.counts.size), matrix.counts), matrix.indices] = True
    return np.packbits(mask, axis=1, bitorder="little")
