"""The group-sparse product against a slow, obvious twin on shapes around every tile edge."""

import os
import subprocess
import sys

import numpy as np
import pytest

from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.product import GroupSparseProduct, aligned_zeros, padded_pixels
from edge_sparse.backends.numba.target import host_target
from edge_sparse.errors import InputError
from edge_sparse.format.packing import GROUPS, dense, pack_dense
from edge_sparse.plan import Activation, DType

LANES = host_target().lanes


def group_sparse(rng, rows, columns, group, sparsity):
    weights = rng.standard_normal((rows, columns)).astype(np.float32)
    for first in range(0, rows, group):
        weights[first : first + group, rng.random(columns) < sparsity] = 0
    return weights


def twin(weights, x, bias, function):
    """Multiply row by row in float64, then apply the activation."""
    y = np.array(
        [[sum(float(w) * float(v) for w, v in zip(row, column, strict=True)) for column in x.T] for row in weights]
    )
    return function(y + (0 if bias is None else bias[:, None]))


FUNCTIONS = {
    Activation.NONE: lambda v: v,
    Activation.RELU: lambda v: np.maximum(v, 0),
    Activation.HARDSWISH: lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
    Activation.HARDSIGMOID: lambda v: np.clip(v / 6 + 0.5, 0, 1),
    Activation.SIGMOID: lambda v: 1 / (1 + np.exp(-v)),
    Activation.SILU: lambda v: v / (1 + np.exp(-v)),
    Activation.TANH: np.tanh,
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "pixels", [1, LANES - 1, LANES, LANES + 1, 3 * LANES, 3 * LANES + 1, 7 * LANES, 13 * LANES + 5]
)
def test_equals_twin_around_tile_edges(group, pixels):
    rng = np.random.default_rng(group * 1000 + pixels)
    for rows in (1, group, group + 1, 3 * group + 5):
        weights = group_sparse(rng, rows, 9, group, 0.5)
        x = rng.standard_normal((9, pixels)).astype(np.float32)
        bias = rng.standard_normal(rows).astype(np.float32)
        product = GroupSparseProduct(pack_dense("w", weights, group), pixels, bias, Activation.RELU)
        np.testing.assert_allclose(product(x), twin(weights, x, bias, FUNCTIONS[Activation.RELU]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_activations(activation):
    rng = np.random.default_rng(3)
    weights = 4 * group_sparse(rng, 8, 12, 4, 0.3)
    x = 3 * rng.standard_normal((12, 50)).astype(np.float32)
    product = GroupSparseProduct(pack_dense("w", weights, 4), 50, activation=activation)
    np.testing.assert_allclose(product(x), twin(weights, x, None, FUNCTIONS[activation]), rtol=2e-5, atol=2e-5)


def test_gelu_equals_error_function():
    from math import erf

    x = np.linspace(-9, 9, 301, dtype=np.float32)[None]
    product = GroupSparseProduct(pack_dense("w", np.ones((1, 1), np.float32), 1), 301, activation=Activation.GELU)
    expected = [[v * 0.5 * (1 + erf(v / 2**0.5)) for v in x[0].astype(float)]]
    np.testing.assert_allclose(product(x), expected, atol=2e-6)


def test_all_dropped_matrix_gives_bias():
    bias = np.arange(5, dtype=np.float32)
    product = GroupSparseProduct(pack_dense("w", np.zeros((5, 3), np.float32), 4), 20, bias)
    np.testing.assert_array_equal(product(np.ones((3, 20), np.float32)), np.tile(bias[:, None], 20))


def test_dropped_columns_are_not_read():
    weights = np.zeros((4, 2), np.float32)
    weights[:, 1] = 1
    x = np.array([[np.nan] * 9, [2.0] * 9], np.float32)
    np.testing.assert_array_equal(GroupSparseProduct(pack_dense("w", weights, 4), 9)(x), np.full((4, 9), 2, np.float32))


def test_nan_in_a_kept_column_reaches_the_output():
    x = np.full((1, 9), np.nan, np.float32)
    product = GroupSparseProduct(pack_dense("w", np.ones((4, 1), np.float32), 4), 9, activation=Activation.RELU)
    assert np.isnan(product(x)).all()


def test_result_does_not_depend_on_the_split_of_the_work():
    rng = np.random.default_rng(5)
    weights = group_sparse(rng, 40, 300, 8, 0.5)
    x = aligned_zeros((300, padded_pixels(500)))
    x[:, :500] = rng.standard_normal((300, 500))
    product = GroupSparseProduct(pack_dense("w", weights, 8), 500)
    whole, parts = (aligned_zeros((40, padded_pixels(500))) for _ in range(2))
    product.run(x, whole)
    for part in range(3):
        product.run(x, parts, part, 3)
    np.testing.assert_array_equal(parts[:, :500], whole[:, :500])
    np.testing.assert_allclose(whole[:, :500], weights.astype(float) @ x[:, :500], rtol=1e-4, atol=1e-4)


def test_half_precision_values_are_widened():
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((8, 8)).astype(np.float16).astype(np.float32)
    x = rng.standard_normal((8, 10)).astype(np.float32)
    half = GroupSparseProduct(pack_dense("w", weights, 4, dtype=DType.F16), 10)(x)
    np.testing.assert_array_equal(half, GroupSparseProduct(pack_dense("w", weights, 4), 10)(x))


def test_writes_stay_inside_y():
    rng = np.random.default_rng(2)
    product = GroupSparseProduct(pack_dense("w", group_sparse(rng, 12, 4, 4, 0.3), 4), 33)
    memory = np.full((14, padded_pixels(33)), 7, np.float32)
    product.run(aligned_zeros((4, padded_pixels(33))), memory[1:13])
    assert (memory[0] == 7).all()
    assert (memory[13] == 7).all()


@pytest.mark.parametrize("x", [np.zeros((3, 9), np.float32), np.zeros((4, 9)), np.zeros(4, np.float32)])
def test_wrong_inputs_are_refused(x):
    product = GroupSparseProduct(pack_dense("w", np.ones((4, 4), np.float32), 4), 9)
    with pytest.raises(InputError, match="INPUT_SHAPE"):
        product(x)


@pytest.mark.parametrize("dtype", [DType.F16, DType.S8, DType.S4, DType.TERNARY])
def test_stored_types_are_widened_when_loaded(dtype):
    rng = np.random.default_rng(4)
    matrix = pack_dense("w", group_sparse(rng, 12, 10, 4, 0.5), 4, dtype=dtype)
    x = rng.standard_normal((10, 9)).astype(np.float32)
    np.testing.assert_allclose(GroupSparseProduct(matrix, 9)(x), dense(matrix) @ x, rtol=1e-4, atol=1e-5)


def test_cache_hits_survives_damage_and_stays_private(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    cache = ObjectCache(folder)
    matrix = pack_dense("w", np.ones((4, 4), np.float32), 4)
    x = np.ones((4, 9), np.float32)

    def compiled():
        compiler = KernelCompiler(cache=cache)
        np.testing.assert_array_equal(GroupSparseProduct(matrix, 9, compiler=compiler)(x), np.full((4, 9), 4))
        return compiler.compiled

    assert compiled() == 1
    assert compiled() == 0
    (entry,) = folder.glob("*.o")
    entry.write_bytes(entry.read_bytes()[:-7])
    assert compiled() == 1
    entry.write_bytes(b"")
    assert compiled() == 1


def test_cache_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    from edge_sparse.backends.numba.cache import default_cache

    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("EDGE_SPARSE_CACHE_DIR", str(folder))
    with pytest.warns(UserWarning, match="writable by others"):
        assert default_cache().folder is None


NARROW = [("x86-64", ""), ("haswell", ""), ("x86-64-v3", "-fma")]


@pytest.mark.skipif(not host_target().triple.startswith("x86_64"), reason="instruction sets of x86-64")
@pytest.mark.parametrize(("cpu", "features"), NARROW)
def test_narrower_instruction_sets(cpu, features, tmp_path):
    script = """
import numpy as np
from edge_sparse.backends.numba.product import GroupSparseProduct
from edge_sparse.format.packing import pack_dense
from edge_sparse.plan import Activation
rng = np.random.default_rng(0)
for group in (1, 4, 32):
    weights = rng.standard_normal((40, 30)).astype(np.float32) * (rng.random(30) < 0.5)
    x = rng.standard_normal((30, 77)).astype(np.float32)
    product = GroupSparseProduct(pack_dense("w", weights, group), 77, activation=Activation.SILU)
    y = weights.astype(float) @ x
    np.testing.assert_allclose(product(x), y / (1 + np.exp(-y)), rtol=2e-5, atol=2e-5)
"""
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    environment["EDGE_SPARSE_CACHE_DIR"] = str(tmp_path / "cache")
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)


def test_parts_are_checked():
    product = GroupSparseProduct(pack_dense("w", np.ones((4, 4), np.float32), 4), 9)
    x = aligned_zeros((4, padded_pixels(9)))
    with pytest.raises(InputError, match="INPUT_PART"):
        product.run(x, x.copy(), 2, 2)


def test_two_threads_compute_the_same_bits():
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(6)
    product = GroupSparseProduct(pack_dense("w", group_sparse(rng, 64, 64, 4, 0.5), 4), 3000)
    x = aligned_zeros((64, padded_pixels(3000)))
    x[:] = rng.standard_normal(x.shape)
    whole, parts = (aligned_zeros((64, padded_pixels(3000))) for _ in range(2))
    product.run(x, whole)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            parts[:] = 0
            list(pool.map(lambda part: product.run(x, parts, part, 4), range(4)))
            np.testing.assert_array_equal(parts[:, :3000], whole[:, :3000])
