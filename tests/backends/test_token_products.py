"""Products of token rows in the Numba backend against the reference, on shapes around every tile edge."""

import dataclasses

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.backends.numba.integer_dot import choose_dot
from edge_sparse.backends.numba.target import host_target
from edge_sparse.format.ops import OPS
from edge_sparse.format.packing import pack_dense
from edge_sparse.plan import Activation, DType, Layout, Model, Op, Plan, Step, Storage, Tensor, row_major_strides

NARROW = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+f16c,+ssse3,+sse4.2,+bmi,+popcnt"}
BITS = {**NARROW, "NUMBA_CPU_FEATURES": NARROW["NUMBA_CPU_FEATURES"] + ",+bmi2"}
PLAIN = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}


def tensor(name, shape, storage, symbolic):
    size = 4 * int(np.prod(shape))
    axis = 0 if symbolic else -1
    return Tensor(
        name,
        DType.F32,
        shape,
        Layout.ROW_MAJOR,
        storage,
        0,
        row_major_strides(shape),
        extent=(0, size),
        symbol_axis=axis,
    )


def product(
    matrices, tokens, *, quantise_x=1, symbolic=True, bias=False, residual=False, activation=Activation.NONE, seed=0
):
    """Return a model with one product per matrix, all of one input."""
    random = np.random.default_rng(seed)
    rows, columns = matrices[0].rows, matrices[0].columns
    tensors = [tensor("x", (tokens, columns), Storage.INPUT, symbolic)]
    inputs, steps, outputs = [0], [], []
    if residual:
        tensors.append(tensor("r", (tokens, rows), Storage.INPUT, symbolic))
        inputs.append(1)
    for number in range(len(matrices)):
        b = -1
        if bias:
            b = len(tensors)
            data = random.standard_normal(rows).astype(np.float32)
            tensors.append(dataclasses.replace(tensor(f"b{number}", (rows,), Storage.CONSTANT, False), data=data))
        outputs.append(len(tensors))
        tensors.append(tensor(f"y{number}", (tokens, rows), Storage.OUTPUT, symbolic))
        attributes = {name: 0.0 if kind == "f" else 0 for name, kind in OPS[Op.SPMM].attributes}
        ones = ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w")
        attributes |= {
            **dict.fromkeys(ones, 1),
            "matrix": number,
            "quantise_x": quantise_x,
            "activation": int(activation),
        }
        steps.append(Step(Op.SPMM, f"p{number}", (0, b, 1 if residual else -1), (outputs[-1],), attributes))
    plan = Plan(
        "main",
        tuple(tensors),
        tuple(steps),
        tuple(inputs),
        tuple(outputs),
        0,
        "tokens" if symbolic else "",
        tokens if symbolic else 0,
    )
    return Model((plan,), tuple(matrices))


def matrix(rows, columns, group, dtype, segment, sparsity, seed=0):
    random = np.random.default_rng(seed)
    weights = random.standard_normal((rows, columns)).astype(np.float32)
    for first in range(0, rows, group):
        weights[first : first + group, random.random(columns) < sparsity] = 0
    return pack_dense("w", weights, group, dtype=dtype, segment=segment)


def check(model, tokens, threads=1):
    random = np.random.default_rng(tokens)
    arrays = {}
    plan = model.plans[0]
    for number in plan.inputs:
        shape = (tokens, plan.tensors[number].shape[1])
        arrays[plan.tensors[number].name] = random.standard_normal(shape).astype(np.float32)
    expected = Session.from_model(model, backend="reference").run(arrays)
    with Session.from_model(model, backend="numba", threads=threads) as session:
        found = session.run(arrays)
        kernels = [choice.kernel for choice in session.choices]
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-5 * np.abs(value).max(initial=1e-3))
    return kernels


SHAPES = [(16, 8), (32, 63), (24, 136), (7, 33), (64, 512)]


@pytest.mark.parametrize("dtype", [DType.S4, DType.S8])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_products_equal_the_reference(rows, columns, dtype, sparsity):
    for group, segment in ((16, 32), (32, 0), (8, 8)):
        model = product([matrix(rows, columns, group, dtype, segment, sparsity)], 25)
        for tokens in (1, 2, 4, 5, 12, 25):
            check(model, tokens)


@pytest.mark.parametrize("features", [NARROW, BITS, PLAIN], ids=["avx2", "bmi2", "sse2"])
@pytest.mark.parametrize("dtype", [DType.S4, DType.S8, DType.TERNARY])
def test_narrower_processors(dtype, features, monkeypatch):
    for name, value in features.items():
        monkeypatch.setenv(name, value)
    for sparsity in (0.0, 0.6):
        for group in (1, 4, 8, 16, 32):
            model = product([matrix(37, 200, group, dtype, 32, sparsity)], 9)
            for tokens in (1, 3, 9):
                check(model, tokens)


def test_largest_values_do_not_saturate(monkeypatch):
    x = np.full((1, 64), 3.0, np.float32)
    for features in ({}, NARROW):
        for name, value in features.items():
            monkeypatch.setenv(name, value)
        for dtype in (DType.S4, DType.S8):
            for sign in (1, -1):
                model = product([pack_dense("w", np.full((16, 64), sign, np.float32), 16, dtype=dtype, segment=32)], 1)
                with Session.from_model(model) as session:
                    np.testing.assert_allclose(session(x), np.full((1, 16), 192.0 * sign), rtol=1e-2)


@pytest.mark.parametrize("activation", [Activation.NONE, Activation.SILU, Activation.RELU])
def test_epilogue(activation):
    for bias, residual in ((False, True), (True, False)):
        model = product([matrix(24, 72, 16, DType.S4, 32, 0.5)], 6, bias=bias, residual=residual, activation=activation)
        for tokens in (1, 5):
            check(model, tokens)


def test_products_of_one_input_share_its_integers():
    matrices = [matrix(32, 72, 16, dtype, 32, s, n) for n, (dtype, s) in enumerate([(DType.S4, 0.0), (DType.S4, 0.5)])]
    kernels = check(product(matrices, 6), 3)
    assert "quantise_rows" in kernels[0]
    assert "quantise_rows" not in kernels[1]
    other = matrix(32, 72, 16, DType.S8, 32, 0.0)
    kernels = check(product([matrices[0], other, matrices[1]], 6), 3)
    if choose_dot(host_target(), 16):
        assert all("quantise_rows" in kernel for kernel in kernels)


@pytest.mark.parametrize("features", [{}, NARROW, PLAIN], ids=["host", "avx2", "sse2"])
@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
def test_float_weights(dtype, features, monkeypatch):
    for name, value in features.items():
        monkeypatch.setenv(name, value)
    for rows, columns, group in ((16, 8, 16), (48, 65, 32), (7, 33, 4), (40, 96, 16)):
        for sparsity in (0.0, 0.5, 1.0):
            for most in (1, 14):
                model = product([matrix(rows, columns, group, dtype, 0, sparsity)], most, quantise_x=0, bias=True)
                for tokens in sorted({1, 2, most - 1 or 1, most}):
                    if tokens <= most:
                        check(model, tokens)


def test_fixed_shapes_and_threads():
    for threads in (1, 3):
        check(product([matrix(160, 96, 16, DType.S4, 32, 0.5)], 5, symbolic=False), 5, threads)
        check(product([matrix(160, 96, 16, DType.S4, 32, 0.5)] * 3, 40), 40, threads)


def test_results_do_not_depend_on_threads_or_on_the_other_tokens():
    model = product([matrix(96, 96, 16, DType.S4, 32, 0.5)], 40)
    x = np.random.default_rng(0).standard_normal((40, 96)).astype(np.float32)
    with Session.from_model(model) as one, Session.from_model(model, threads=4) as four:
        whole = one(x)
        np.testing.assert_array_equal(four(x), whole)
        for tokens in (1, 2, 7, 39):
            np.testing.assert_array_equal(four(x[:tokens]), whole[:tokens])


def test_what_the_stack_cannot_hold_is_widened():
    kernels = check(product([matrix(32, 8192, 32, DType.S8, 4, 0.0)], 2), 2)
    assert "round_rows" in kernels[0]
    if choose_dot(host_target(), 32):
        assert "round_rows" not in check(product([matrix(32, 8192, 32, DType.S8, 64, 0.0)], 2), 2)[0]


def test_zeros_and_numbers_that_are_none():
    model = product([matrix(16, 64, 16, DType.S4, 32, 0.0)], 2)
    for backend in ("numba", "reference"):
        with Session.from_model(model, backend=backend) as session:
            assert not session(np.zeros((2, 64), np.float32)).any()
            assert not session(np.full((2, 64), 1e-38, np.float32)).any()
    with Session.from_model(model) as session:
        x = np.zeros((2, 64), np.float32)
        x[0, 3] = np.nan
        assert not session(x)[1].any()


def test_whole_tiles_of_tokens_stay_inside_the_callers_array(monkeypatch):
    weights = np.random.default_rng(2).standard_normal((16, 5)).astype(np.float32)
    model = product([pack_dense("", weights, 16)], 24, quantise_x=0)
    session = Session.from_model(model, backend="numba")
    drive, kept = session._executor._drive, []

    def watched(*arguments):
        patches = session._executor._patches["x"]
        kept.extend(int(table[position]) - offset for table, position, offset in patches)
        drive(*arguments)

    monkeypatch.setattr(session._executor, "_drive", watched)
    x = np.random.default_rng(3).standard_normal((24, 5)).astype(np.float32)
    for tokens in (1, 2, 13, 24):
        kept.clear()
        short = x[:tokens].copy()
        found = session.run({"x": short})["y0"]
        np.testing.assert_allclose(found, short @ weights.T, rtol=1e-5, atol=1e-5)
        # A tile that begins inside a shorter array may end behind it.
        assert all((address == short.ctypes.data) == (tokens == 24) for address in kept)
