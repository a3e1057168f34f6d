"""Column indices and integer values against slow twins that follow ``docs/format.md`` word by word."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sparse.errors import FileFormatError
from edge_sparse.format.column_index import bitmap_of, decode_columns, encode_columns
from edge_sparse.format.packing import GROUPS, dense, pack_dense
from edge_sparse.format.spec import IndexEncoding
from edge_sparse.plan import Band, DType, SparseMatrix

matrices = st.tuples(
    st.integers(1, 40), st.integers(1, 700), st.sampled_from(GROUPS), st.floats(0, 1), st.integers(0, 999)
)


def pruned(rows, columns, group, sparsity, seed):
    random = np.random.default_rng(seed)
    weights = random.standard_normal((rows, columns)).astype(np.float32)
    weights[np.repeat(random.random((-(-rows // group), columns)) < sparsity, group, axis=0)[:rows]] = 0
    return weights


def slow_columns(encoding, counts, data, columns):
    """Return the kept columns of every strip."""
    if encoding is IndexEncoding.DENSE:
        return [list(range(columns)) for _ in counts]
    if encoding is IndexEncoding.BITMAP:
        width = -(-columns // 8)
        return [
            [c for c in range(columns) if data[strip * width + c // 8] >> c % 8 & 1] for strip in range(len(counts))
        ]
    result, at = [], 0
    for count in counts:
        strip, column = [], -1
        for _ in range(count):
            skipped = 0
            while data[at] == 255:
                skipped, at = skipped + 255, at + 1
            column += skipped + data[at] + 1
            at += 1
            strip.append(column)
        result.append(strip)
    assert at == len(data)
    return result


@given(matrices)
def test_columns_equal_the_twin(parameters):
    matrix = pack_dense("w", pruned(*parameters), parameters[2])
    encoding, data = encode_columns(matrix)
    strips = slow_columns(encoding, matrix.counts.tolist(), data, matrix.columns)
    assert [column for strip in strips for column in strip] == matrix.indices.tolist()
    assert [len(strip) for strip in strips] == matrix.counts.tolist()
    decoded = decode_columns(encoding, matrix.counts, np.frombuffer(data, np.uint8), matrix.columns, "w")
    np.testing.assert_array_equal(replace(matrix, kept=decoded).indices, matrix.indices)
    np.testing.assert_array_equal(bitmap_of(replace(matrix, kept=decoded)), bitmap_of(matrix))
    assert len(data) <= matrix.counts.size * -(-matrix.columns // 8)


@given(st.binary(max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(1, 600))
def test_any_bytes_are_columns_or_an_error(data, counts, columns):
    given_counts = np.array(counts, np.uint32)
    for encoding in IndexEncoding:
        try:
            kept = decode_columns(encoding, given_counts, np.frombuffer(data, np.uint8), columns, "w")
        except FileFormatError:
            continue
        bands, values = (Band(0, len(counts), 1),), np.zeros(0, np.float32)
        decoded = SparseMatrix("w", len(counts), columns, bands, given_counts, kept, DType.F32, values).indices
        assert decoded.tolist() == [c for strip in slow_columns(encoding, counts, data, columns) for c in strip]
        assert decoded.max(initial=0) < columns


def slow_weights(matrix):
    """Read the stored bytes of an integer matrix one by one; returns it dense."""
    data = matrix.values.view(np.uint8).tolist()
    result = np.zeros((matrix.rows, matrix.columns))
    width = matrix.segment or matrix.columns
    at = strip = scale_at = 0
    for band in matrix.bands:
        for first in range(band.first_row, band.first_row + band.rows, band.group):
            kept = matrix.indices[matrix.starts[strip] : matrix.starts[strip + 1]].tolist()
            for begin in range(0, len(kept) if matrix.segment else 1, width):
                part = kept[begin : begin + width]
                tiles = -(-len(part) // 4)
                if matrix.dtype is DType.S4:
                    tiles += tiles % 2
                for position in range(4 * tiles):
                    tile, c = divmod(position, 4)
                    for row in range(band.group):
                        if matrix.dtype is DType.S8:
                            byte = data[at + (tile * band.group + row) * 4 + c]
                            value = byte - 256 * (byte > 127)
                        elif matrix.dtype is DType.TERNARY:
                            value = (data[at + tile * band.group + row] >> 2 * c & 3) - 1
                        else:
                            byte = data[at + (tile // 2 * band.group + row) * 4 + c]
                            value = (byte >> 4 if tile % 2 else byte & 15) - 8
                        if position < len(part):
                            result[first + row, part[position]] = value * float(matrix.scales[scale_at + row])
                        else:
                            assert value == 0
                at += tiles * band.group * {DType.S8: 4, DType.S4: 2, DType.TERNARY: 1}[matrix.dtype]
                scale_at += band.group
            strip += 1
    assert at == len(data)
    assert scale_at == matrix.scales.size
    return result


@pytest.mark.parametrize("dtype", [DType.S8, DType.S4, DType.TERNARY])
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(GROUPS),
    st.floats(0, 1),
    st.sampled_from([0, 8, 32]),
    st.integers(0, 99),
)
def test_integer_values_equal_the_twin(dtype, rows, columns, group, sparsity, segment, seed):
    weights = pruned(rows, columns, group, sparsity, seed)
    matrix = pack_dense("w", weights, group, dtype=dtype, segment=segment)
    np.testing.assert_allclose(dense(matrix), slow_weights(matrix), rtol=1e-6)
    # No worse than rounding with one scale that maps the largest weight of a row to the end of a symmetric range.
    limit = {DType.S8: 127, DType.S4: 7, DType.TERNARY: 1}[dtype]
    step = np.abs(weights).max(axis=1, keepdims=True) / limit
    plain = np.rint(weights / np.where(step > 0, step, 1)) * step
    assert ((dense(matrix) - weights) ** 2).sum() <= 1.1 * ((plain - weights) ** 2).sum() + 1e-3 * (weights**2).sum()
