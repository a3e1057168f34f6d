"""The kernels of decoders' small steps against the reference backend, for any number of tokens and any position."""

import numpy as np
import pytest
from tiny_plan import TinyPlan

from edge_sparse.backends.numba.program import NumbaProgram
from edge_sparse.plan import Activation, DType, Op

CHUNK = 5
NONE = {"activation": int(Activation.NONE), "clamp_low": 0.0, "clamp_high": 0.0}
WIDTHS = (1, 3, 8, 16, 17, 64, 65, 130)


def same(plan, tokens=(1, 2, CHUNK), tolerance=2e-6, **inputs):
    """Run both backends on the first rows of the inputs."""
    for count in tokens:
        numba, reference = (
            plan.session(backend).run({name: x[:count] if len(x) == CHUNK else x for name, x in inputs.items()})
            for backend in ("numba", "reference")
        )
        for name, expected in reference.items():
            assert numba[name].shape == expected.shape
            np.testing.assert_allclose(numba[name], expected, rtol=tolerance, atol=tolerance)


def random(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("width", WIDTHS)
def test_rms_norm(width):
    plan = TinyPlan(CHUNK)
    x = plan.input("x", (CHUNK, width))
    weight = plan.constant(random(width))
    plan.step(Op.RMS_NORM, [x, weight], plan.output("y", (CHUNK, width)), epsilon=1e-5)
    same(plan, x=random(CHUNK, width))


def test_rms_norm_of_heads():
    plan = TinyPlan(CHUNK)
    x = plan.input("x", (CHUNK, 3, 24))
    plan.step(Op.RMS_NORM, [x, plan.constant(random(24))], plan.output("y", (CHUNK, 3, 24)), epsilon=1e-5)
    same(plan, x=random(CHUNK, 3, 24))


def test_rms_norm_of_a_single_row():
    plan = TinyPlan(0)
    x = plan.input("x", (1, 24))
    plan.step(Op.RMS_NORM, [x, plan.constant(random(24))], plan.output("y", (1, 24)), epsilon=0.0)
    same(plan, tokens=(1,), x=random(1, 24))


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("head_dim", [2, 6, 8, 64, 80])
def test_rope(head_dim, interleaved):
    plan = TinyPlan(CHUNK)
    x = plan.input("x", (CHUNK, 3 * head_dim))
    position = plan.input("position", (1,), DType.S32, symbolic=False)
    table = plan.constant(500000.0 ** -(np.arange(head_dim // 2) / (head_dim // 2)))
    words = {"head_dim": head_dim, "interleaved": interleaved}
    plan.step(Op.ROPE, [x, position, table], plan.output("y", (CHUNK, 3 * head_dim)), **words)
    for place in (0, 1, 4095, 100_000, 1_000_003):
        same(plan, x=random(CHUNK, 3 * head_dim), position=np.array([place], np.int32))


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
def test_embedding_of_a_table(dtype):
    plan = TinyPlan(CHUNK)
    ids = plan.input("ids", (CHUNK,), DType.S32)
    table = plan.constant(random(11, 9).astype(dtype.numpy))
    plan.step(Op.EMBEDDING, [ids, table], plan.output("y", (CHUNK, 9)), matrix=-1)
    same(plan, ids=np.array([0, 10, 3, 3, 7], np.int32), tolerance=0)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("columns", [8, 37, 72])
@pytest.mark.parametrize(
    ("dtype", "segment"),
    [(DType.F32, 0), (DType.F16, 0), (DType.S8, 8), (DType.S8, 0), (DType.S4, 16), (DType.S4, 0), (DType.TERNARY, 4)],
)
def test_embedding_of_a_matrix(dtype, segment, columns, sparsity):
    plan = TinyPlan(CHUNK)
    ids = plan.input("ids", (CHUNK,), DType.S32)
    number = plan.matrix(random(45, columns), 16, dtype, segment, sparsity)
    plan.step(Op.EMBEDDING, [ids, -1], plan.output("y", (CHUNK, columns)), matrix=number)
    same(plan, ids=np.array([0, 17, 32, 43, 44], np.int32), tolerance=1e-7)


@pytest.mark.parametrize("op", [Op.ADD, Op.MUL, Op.ACTIVATION])
@pytest.mark.parametrize("width", [*WIDTHS, 9000])
def test_elementwise(op, width):
    plan = TinyPlan(CHUNK)
    arrays = {"a": random(CHUNK, width), "b": random(CHUNK, width)[::-1].copy()}
    if op is Op.ACTIVATION:
        del arrays["b"]
    operands = [plan.input(name, (CHUNK, width)) for name in arrays]
    words = {**NONE, "activation": int(Activation.SILU)}
    plan.step(op, operands, plan.output("y", (CHUNK, width)), **words)
    same(plan, **arrays)


def test_rows_at_a_distance():
    plan = TinyPlan(CHUNK)
    x = plan.input("x", (CHUNK, 20))
    wide = plan.arena((CHUNK, 20), row=33)
    plan.step(Op.ACTIVATION, [x], wide, **NONE)
    plan.step(Op.RMS_NORM, [wide, plan.constant(random(20))], plan.output("y", (CHUNK, 20)), epsilon=1e-3)
    same(plan, x=random(CHUNK, 20))


def test_take_last():
    plan = TinyPlan(CHUNK)
    x = plan.input("x", (CHUNK, 19))
    plan.step(Op.TAKE_LAST, [x], plan.output("y", (1, 19), symbolic=False))
    same(plan, x=random(CHUNK, 19), tolerance=0)


@pytest.mark.parametrize("shape", [(CHUNK, 6), (CHUNK, 2, 3), (CHUNK, 3, 2, 1)])
def test_softmax_and_copies_touch_only_the_tokens_of_a_run(shape):
    plan = TinyPlan(CHUNK)
    x = plan.input("x", shape)
    plan.step(Op.SOFTMAX, [x], plan.output("s", shape))
    plan.step(Op.COPY, [x], plan.output("c", (CHUNK, 6)))
    same(plan, x=random(*shape))


def test_a_copy_between_axes_that_do_not_nest():
    plan = TinyPlan(CHUNK)
    plan.step(Op.COPY, [plan.input("x", (CHUNK, 2, 3))], plan.output("y", (CHUNK, 3, 2)))
    same(plan, x=random(CHUNK, 2, 3))


@pytest.mark.parametrize("op", [Op.SOFTMAX, Op.COPY])
def test_units_of_a_launch_are_those_of_its_tokens(op):
    plan = TinyPlan(CHUNK)
    plan.step(op, [plan.input("x", (CHUNK, 2, 3))], plan.output("y", (CHUNK, 2, 3)))
    model = plan.model()
    ((launch,),) = NumbaProgram(model, model.plans[0]).launches
    assert launch.units_in(CHUNK) == CHUNK * launch.units_in(1)
