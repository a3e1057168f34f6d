"""How much of a matrix's energy integer weights lose, and what Q4_0 of llama.cpp would lose on the same weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sparse.format.packing import dense
from edge_sparse.plan import SparseMatrix

__all__ = ["RoundingError", "q4_0_error", "rounding_error"]

#: Weights that share a scale in Q4_0.
_Q4_0_BLOCK = 32


@dataclass(frozen=True)
class RoundingError:
    """Sums of squares over kept weights: of the weights, of their rounding error, and of Q4_0's."""

    energy: float = 0.0
    error: float = 0.0
    q4_0: float = 0.0

    def __add__(self, other: RoundingError) -> RoundingError:
        return RoundingError(self.energy + other.energy, self.error + other.error, self.q4_0 + other.q4_0)

    @property
    def nmse(self) -> float:
        """Error as a share of the energy."""
        return self.error / self.energy if self.energy else 0.0

    @property
    def q4_0_nmse(self) -> float:
        """Q4_0's error as a share of the energy."""
        return self.q4_0 / self.energy if self.energy else 0.0


def rounding_error(
    weights: npt.NDArray[np.float32], packed: SparseMatrix, mask: npt.NDArray[np.bool_]
) -> RoundingError:
    """Compare weights with their packed form.

    Parameters
    ----------
    weights : ndarray of float32, shape (rows, columns)
        Before rounding; those that are not kept do not count.
    packed : SparseMatrix
        The same rows.
    mask : ndarray of bool, shape (strips, columns)
        Kept columns of every strip.
    """
    rounded = dense(packed)
    energy = error = q4_0 = 0.0
    strip = 0
    for band in packed.bands:
        for first in range(band.first_row, band.first_row + band.rows, band.group):
            rows, columns = slice(first, first + band.group), mask[strip]
            kept = weights[rows, columns].astype(np.float64)
            energy += float((kept**2).sum())
            error += float(((kept - rounded[rows, columns]) ** 2).sum())
            q4_0 += q4_0_error(kept)
            strip += 1
    return RoundingError(energy, error, q4_0)


def q4_0_error(rows: npt.NDArray[np.float64]) -> float:
    """Return the squared error of Q4_0: 32 weights of a row share a float16 scale that maps the largest to -8."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % _Q4_0_BLOCK)))
    blocks = padded.reshape(-1, _Q4_0_BLOCK)
    if not blocks.size:
        return 0.0
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scale = largest / -8
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    integers = np.minimum(15, np.trunc(blocks * inverse + 8.5)) - 8
    return float(((blocks - integers * scale.astype(np.float16).astype(np.float64)) ** 2).sum())
