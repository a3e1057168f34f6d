"""Packing drops exactly the all-zero groups and loses nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sparse.errors import PruningError
from edge_sparse.format.packing import GROUPS, bands_of, dense, pack_dense
from edge_sparse.plan import DType


@given(st.integers(1, 70), st.integers(1, 20), st.sampled_from(GROUPS), st.floats(0, 1), st.integers(0, 99))
def test_round_trip(rows, columns, group, sparsity, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((rows, columns)).astype(np.float32)
    weights[rng.random(weights.shape) < sparsity] = 0
    matrix = pack_dense("w", weights, group)
    np.testing.assert_array_equal(dense(matrix), weights)
    kept = sum(
        band.group
        for band in matrix.bands
        for first in range(band.first_row, band.first_row + band.rows, band.group)
        for column in range(columns)
        if weights[first : first + band.group, column].any()
    )
    assert matrix.kept_weights == kept == matrix.values.size
    assert matrix.starts[-1] == matrix.indices.size
    for first, last in zip(matrix.starts, matrix.starts[1:], strict=False):
        assert (np.diff(matrix.indices[first:last].astype(int)) > 0).all()


@given(st.integers(1, 5000), st.sampled_from(GROUPS))
def test_bands_cover_all_rows(rows, group):
    first = 0
    for band in bands_of(rows, group):
        assert band.first_row == first
        assert band.rows % band.group == 0
        first += band.rows
    assert first == rows


def test_bands_example():
    assert [(band.rows, band.group) for band in bands_of(1001, 16)] == [(992, 16), (8, 8), (1, 1)]


def test_half_precision_rounds():
    weights = np.array([[1.0001, 0]], np.float32)
    np.testing.assert_array_equal(dense(pack_dense("w", weights, 1, dtype=DType.F16)), [[1.0, 0]])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: pack_dense("w", np.ones((4, 4), np.float32), 3), "GROUP_UNKNOWN"),
        (lambda: pack_dense("w", np.ones(4, np.float32), 4), "WEIGHTS_RANK"),
        (lambda: pack_dense("w", np.ones((4, 4), np.float32), 4, dtype=DType.S32), "DTYPE_UNSUPPORTED"),
    ],
)
def test_errors(call, code):
    with pytest.raises(PruningError, match=code):
        call()
