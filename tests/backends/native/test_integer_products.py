"""Integer products and embeddings of the C core against the reference: every type, group, segment and density."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.format.packing import GROUPS, pack_dense
from edge_sparse.plan import Activation, DType, Op

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_token_products import matrix, product
from tiny_plan import TinyPlan
from variant_session import VARIANTS, variant_session

INTEGERS = [DType.S8, DType.S4, DType.TERNARY]
variants = pytest.mark.parametrize("variant", VARIANTS)
dtypes = pytest.mark.parametrize("dtype", INTEGERS)


def arrays_of(model, tokens):
    random = np.random.default_rng(tokens)
    plan = model.plans[0]
    ports = [plan.tensors[number] for number in plan.inputs]
    return {port.name: random.standard_normal((tokens, port.shape[1])).astype(np.float32) for port in ports}


def agree(model, tokens, variant, threads=1):
    """Integers are exact and so is their order, so all that differs is the rounding of a few float32 operations."""
    arrays = arrays_of(model, tokens)
    expected = Session.from_model(model, backend="reference").run(arrays)
    with variant_session(model, variant, threads) as session:
        found = session.run(arrays)
        kernels = session._executor.kernels()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-6, atol=2e-6 * np.abs(value).max(initial=1e-3))
    return kernels


@variants
@dtypes
@pytest.mark.parametrize("group", GROUPS)
def test_products_equal_the_reference(group, dtype, variant):
    for columns, segment in ((5, 0), (33, 8), (64, 32), (200, 32), (136, 72)):
        for sparsity in (0.0, 0.5, 0.95, 1.0):
            model = product([matrix(2 * group + 3, columns, group, dtype, segment, sparsity)], 9, bias=True)
            for tokens in (1, 2, 4, 9):
                kernels = agree(model, tokens, variant)
            assert kernels[0].startswith(f"spmm_{dtype.name.lower()}_gs{group}x1_rows_")


@variants
@dtypes
def test_integer_sums_are_exact(dtype, variant):
    random = np.random.default_rng(3)
    for group, segment in ((1, 0), (4, 8), (16, 32), (32, 0)):
        packed = matrix(64, 264, group, dtype, segment, 0.3)
        packed = dataclasses.replace(packed, scales=np.ones_like(packed.scales))
        # Rows whose largest number is 127 are their own integers, and m / 127 is 1.
        x = random.integers(-127, 128, (6, 264)).astype(np.float32)
        x[:, 0] = 127
        model = product([packed], 6)
        expected = Session.from_model(model, backend="reference").run({"x": x})["y0"]
        for tokens in (1, 6):
            with variant_session(model, variant) as session:
                found = session.run({"x": x[:tokens]})["y0"]
            # All results are whole numbers that float32 holds.
            np.testing.assert_array_equal(found, np.rint(expected[:tokens]))


@variants
@dtypes
def test_largest_numbers_do_not_overflow(dtype, variant):
    # Sums of 16 bits and of 32 bits at their limits: signs agree in all columns of long segments.
    for columns, segment in ((96, 0), (96, 32), (70000, 0), (140004, 66000)):
        for sign in (1, -1):
            packed = pack_dense("w", np.full((16, columns), sign, np.float32), 16, dtype=dtype, segment=segment)
            byte = {DType.S8: 0x7F if sign > 0 else 0x80, DType.S4: 0xFF if sign > 0 else 0, DType.TERNARY: 0}[dtype]
            if columns % 8 == 0:
                packed = dataclasses.replace(
                    packed, values=np.full_like(packed.values, np.uint8(byte).view(packed.values.dtype))
                )
            model = product([packed], 5)
            x = np.full((5, columns), 3.0, np.float32)
            expected = Session.from_model(model, backend="reference").run({"x": x})["y0"]
            for tokens in (1, 5):
                with variant_session(model, variant) as session:
                    np.testing.assert_allclose(session.run({"x": x[:tokens]})["y0"], expected[:tokens], rtol=1e-5)


@variants
def test_bias_residual_and_activation(variant):
    for activation in (Activation.NONE, Activation.RELU, Activation.SILU, Activation.GELU):
        for bias, residual in ((False, True), (True, False), (True, True)):
            for group in (2, 16):
                packed = matrix(24, 72, group, DType.S4, 32, 0.5)
                model = product([packed], 6, bias=bias, residual=residual, activation=activation)
                for tokens in (1, 5):
                    agree(model, tokens, variant)


@variants
def test_columns_as_a_list_equal_those_of_a_bitmap(variant):
    for sparsity in (0.5, 0.97):
        packed = matrix(48, 500, 16, DType.S4, 32, sparsity)
        for tokens in (1, 3, 9):
            agree(product([dataclasses.replace(packed, kept=packed.indices)], 9), tokens, variant)


@variants
def test_products_of_one_input(variant):
    # Steps that follow each other may share the integers of x: of other types, segments and densities they must not.
    forms = [(DType.S4, 32, 0.0), (DType.S4, 32, 0.0), (DType.S4, 8, 0.0), (DType.S4, 32, 0.5), (DType.S8, 32, 0.0),
             (DType.TERNARY, 32, 0.0), (DType.S8, 0, 0.5), (DType.S4, 32, 0.0), (DType.TERNARY, 32, 0.0)]  # fmt: skip
    matrices = [matrix(32, 72, 16, dtype, segment, s, n) for n, (dtype, segment, s) in enumerate(forms)]
    for tokens in (1, 5):
        agree(product(matrices, 6), tokens, variant, threads=2)
    # Another x in between.
    plan = TinyPlan(6)
    x, between = plan.input("x", (6, 72)), plan.arena((6, 72))
    number = plan.matrix(np.random.default_rng(2).standard_normal((72, 72)), 8, DType.S4, 32)
    words = product(matrices, 6).plans[0].steps[0].attributes | {"matrix": number}
    plan.step(Op.SPMM, [x, -1, -1], between, **words)
    plan.step(Op.SPMM, [between, -1, -1], plan.output("a", (6, 72)), **words)
    plan.step(Op.SPMM, [x, -1, -1], plan.output("b", (6, 72)), **words)
    for tokens in (1, 6):
        agree(plan.model(), tokens, variant)


@variants
def test_threads_and_other_tokens_do_not_change_the_bits(variant):
    model = product([matrix(96, 96, 16, DType.S4, 32, 0.5)], 40)
    x = np.random.default_rng(0).standard_normal((40, 96)).astype(np.float32)
    with variant_session(model, variant) as one, variant_session(model, variant, threads=4) as four:
        whole = one(x)
        for tokens in (1, 2, 7, 39, 40):
            np.testing.assert_array_equal(four(x[:tokens]), whole[:tokens])


@variants
def test_fixed_shapes(variant):
    agree(product([matrix(160, 96, 16, DType.S4, 32, 0.5)], 5, symbolic=False), 5, variant, threads=3)


@variants
def test_zeros_and_numbers_that_are_none(variant):
    for dtype in INTEGERS:
        model = product([matrix(16, 63, 16, dtype, 32, 0.0)], 3)
        with variant_session(model, variant) as session:
            assert not session(np.zeros((2, 63), np.float32)).any()
            assert not session(np.full((2, 63), 1e-38, np.float32)).any()
            x = np.ones((3, 63), np.float32)
            x[0, 3], x[2, 62] = np.nan, np.inf
            y = session(x)
            assert np.isnan(y[0]).all()
            assert np.isfinite(y[1]).all()
            assert np.isnan(y[2]).all()


def embedding(chunk, rows, columns, *, table=None, packed=None):
    """Return a plan that looks tokens up."""
    plan = TinyPlan(chunk)
    ids = plan.input("ids", (chunk,), DType.S32)
    inputs = [ids] if table is None else [ids, plan.constant(table)]
    if packed is not None:
        plan.matrices.append(packed)
    plan.step(Op.EMBEDDING, inputs, plan.output("y", (chunk, columns)), matrix=-1 if packed is None else 0)
    return plan.model()


def check_embedding(model, rows, variant):
    ids = np.random.default_rng(4).permutation(rows)[: model.plans[0].symbol_max].astype(np.int32)
    expected = Session.from_model(model, backend="reference").run({"ids": ids})["y"]
    with variant_session(model, variant, threads=2) as session:
        np.testing.assert_array_equal(session.run({"ids": ids})["y"], expected)


@variants
@pytest.mark.parametrize("half", [False, True])
def test_embedding_of_a_table(half, variant):
    for columns in (1, 5, 32, 67):
        table = np.random.default_rng(1).standard_normal((29, columns)).astype(np.float16 if half else np.float32)
        check_embedding(embedding(29, 29, columns, table=table), 29, variant)


@variants
@pytest.mark.parametrize("dtype", [DType.F32, DType.F16, *INTEGERS])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.98, 1.0])
def test_embedding_of_a_matrix(sparsity, dtype, variant):
    for group in GROUPS:
        rows = 2 * group + 5
        for columns, segment in ((9, 0), (70, 32)):
            packed = matrix(rows, columns, group, dtype, segment if dtype in INTEGERS else 0, sparsity)
            check_embedding(embedding(rows, rows, columns, packed=packed), rows, variant)
            listed = packed if packed.kept is None else dataclasses.replace(packed, kept=packed.indices)
            check_embedding(embedding(rows, rows, columns, packed=listed), rows, variant)
