"""Float products of the C core against the reference, on shapes around every tile edge."""

import dataclasses

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder
from variant_session import VARIANTS, variant_session

from edge_sparse import Session
from edge_sparse.format.ops import OPS
from edge_sparse.format.packing import GROUPS, pack_dense
from edge_sparse.plan import Activation, DType, Model, Op, Plan, Step, Storage, Tensor, row_major_strides

LAYOUTS = ["chw", "nhwc"]


def agree(model, inputs, variant, threads=2, tolerance=1e-5):
    """Run twice, because the second run finds what the first one left in the arena."""
    expected = Session.from_model(model, backend="reference").run(inputs)
    with variant_session(model, variant, threads) as session:
        for _ in range(2):
            result = session.run(inputs)
            assert set(result) == set(expected)
            for name, array in expected.items():
                assert result[name].shape == array.shape
                assert np.linalg.norm(result[name] - array) <= tolerance * np.linalg.norm(array) + 1e-30
                np.testing.assert_allclose(result[name], array, rtol=1e-4, atol=1e-5 * np.abs(array).max() + 1e-30)
        assert any(kernel.startswith("spmm_") for kernel in session._executor.kernels())


def image(shape, seed=1):
    return {"x": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}


def grouped(builder, group):
    """Return the groups of all products of a graph."""
    return {node.name: group for node in builder.graph.nodes if node.op == "conv" and node.attributes["groups"] == 1}


def convolution(shape, group, layout, channels=24, dtype=DType.F32, **options):
    """Return a model of a convolution of which half the groups are dropped, read by one that needs a border."""
    builder = GraphBuilder(*shape)
    x = builder.conv("x", channels, prune=(group, 0.5), **options)
    graph = builder.finish(builder.conv(x, 5, 3))
    return lower(graph, {"conv0": group}, layout=layout, value_dtype=dtype)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("group", GROUPS)
def test_every_group_around_tile_edges(group, layout, variant):
    sizes = [
        (1, 1),
        (1, 3),
        (2, 2),
        (1, 7),
        (3, 5),
        (4, 4),
        (1, 17),
        (5, 5),
        (3, 11),
        (7, 7),
        (1, 49),
        (8, 9),
        (14, 14),
    ]
    for height, width in sizes:
        model = convolution((1, 9, height, width), group, layout, channels=group * 2 + 3)
        agree(model, image((1, 9, height, width)), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("group", [1, 4, 16])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.97, 1.0])
def test_densities(sparsity, group, layout, variant):
    builder = GraphBuilder(1, 40, 9, 13)
    model = lower(builder.finish(builder.conv("x", 48, prune=(group, sparsity))), {"conv0": group}, layout=layout)
    agree(model, image((1, 40, 9, 13)), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [
        (3, 1, 1, None),
        (3, 2, 1, None),
        (5, 1, 2, None),
        ((1, 3), (1, 2), 1, None),
        (3, 3, 2, (0, 1, 2, 3)),
        (2, (2, 1), 1, (1, 0, 0, 1)),
        (1, 2, 1, None),
    ],
)
def test_windows(kernel, stride, dilation, padding, layout, variant):
    shape = (2, 3, 17, 22)
    for group in (4, 32):
        options = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "relu"}
        agree(convolution(shape, group, layout, kernel=kernel, **options), image(shape), variant)


ACTIVATIONS = ["relu", "clamp", "hardswish", "hardsigmoid", "sigmoid", "silu", "tanh", "gelu"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_residual_and_activation(activation, layout, variant):
    shape = (3, 12, 6, 7)
    for group in (2, 8):
        builder = GraphBuilder(*shape)
        options = {"activation": activation, "clamp_low": -0.5, "clamp_high": 0.7}
        x = builder.conv("x", 12, prune=(group, 0.3), **options)
        y = builder.conv(x, 12, residual=x, prune=(group, 0.5), **options)
        model = lower(builder.finish(builder.conv(y, 12, 3, residual=x)), grouped(builder, group), layout=layout)
        agree(model, image(shape), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [DType.F16, DType.S8, DType.S4, DType.TERNARY])
def test_stored_types_of_images(dtype, layout, variant):
    for group in GROUPS:
        agree(convolution((1, 21, 6, 9), group, layout, dtype=dtype, channels=37), image((1, 21, 6, 9)), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_slices_of_a_concatenation(layout, variant):
    shape = (2, 5, 6, 7)
    builder = GraphBuilder(*shape)
    parts = [builder.conv("x", channels, prune=(4, 0.5)) for channels in (8, 3, 16)]
    model = lower(builder.finish(builder.conv(builder.concat(*parts), 9, 3)), grouped(builder, 4), layout=layout)
    agree(model, image(shape), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_weights_pass_in_chunks(layout, variant):
    # More weights than one chunk of strips holds, and more pixels than one tile.
    shape = (1, 512, 6, 6)
    builder = GraphBuilder(*shape)
    model = lower(builder.finish(builder.conv("x", 600, prune=(8, 0.4))), {"conv0": 8}, layout=layout)
    agree(model, image(shape), variant, threads=3)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_do_not_change_the_bits(layout, variant):
    shape = (2, 32, 13, 19)
    model = convolution(shape, 4, layout, channels=40, activation="silu")
    results = []
    for threads in (1, 2, 3, 7):
        with variant_session(model, variant, threads) as session:
            results += [next(iter(session.run(image(shape)).values())) for _ in range(5)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_nan_and_infinity_reach_the_output_only_through_kept_columns():
    weights = np.zeros((4, 3), np.float32)
    weights[:, 1] = 1
    x = np.array([[np.nan, 2, np.inf], [1, np.nan, 1]], np.float32)
    model = rows_model(pack_dense("", weights, 4), 2, activation=Activation.RELU)
    for variant in VARIANTS:
        with variant_session(model, variant) as session:
            result = session.run({"x": x})["y"]
        np.testing.assert_array_equal(result[0], np.full(4, 2, np.float32))
        assert np.isnan(result[1]).all()


def rows_model(matrix, tokens, *, symbol=False, bias=None, residual=False, activation=Activation.NONE):
    """Return a model of one product of rows."""
    axis = 0 if symbol else -1

    def tensor(name, shape, storage, **options):
        size = int(np.prod(shape)) * options.get("dtype", DType.F32).numpy.itemsize
        return Tensor(name, **({"dtype": DType.F32} | options), shape=shape, storage=storage,
                      strides=row_major_strides(shape), extent=(0, size))  # fmt: skip

    tensors = [
        tensor("x", (tokens, matrix.columns), Storage.INPUT, symbol_axis=axis),
        tensor("y", (tokens, matrix.rows), Storage.OUTPUT, symbol_axis=axis),
    ]
    inputs, ports = [0, -1, -1], [0]
    if bias is not None:
        inputs[1] = len(tensors)
        dtype = DType.F16 if bias.dtype == np.float16 else DType.F32
        tensors.append(tensor("", bias.shape, Storage.CONSTANT, dtype=dtype, data=bias))
    if residual:
        inputs[2] = len(tensors)
        ports.append(len(tensors))
        tensors.append(tensor("r", (tokens, matrix.rows), Storage.INPUT, symbol_axis=axis))
    words = {name: 0.0 if kind == "f" else 0 for name, kind in OPS[Op.SPMM].attributes}
    words |= dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    step = Step(Op.SPMM, "product", tuple(inputs), (1,), {**words, "activation": int(activation)})
    names = ("tokens", tokens) if symbol else ("", 0)
    plan = Plan("main", tuple(tensors), (step,), tuple(ports), (1,), 0, *names)
    return Model((plan,), (matrix,))


def sparse(rows, columns, group, sparsity, dtype=DType.F32, segment=0):
    random = np.random.default_rng(rows + columns + group)
    weights = random.standard_normal((rows, columns)).astype(np.float32)
    for first in range(0, rows, group):
        weights[first : first + group, random.random(columns) < sparsity] = 0
    return pack_dense("", weights, group, dtype=dtype, segment=segment)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
@pytest.mark.parametrize("group", GROUPS)
def test_rows_around_tile_edges(group, dtype, variant):
    random = np.random.default_rng(group)
    for tokens in (*range(1, 9), 12, 13, 25):
        for sparsity, columns in ((0.0, 6), (0.5, 31), (0.9, 64)):
            rows = 2 * group + 5
            bias = random.standard_normal(rows).astype(np.float16 if tokens % 2 else np.float32)
            model = rows_model(sparse(rows, columns, group, sparsity, dtype), tokens, bias=bias, residual=True,
                               activation=Activation.SILU if tokens == 4 else Activation.RELU)  # fmt: skip
            inputs = {
                "x": random.standard_normal((tokens, columns)).astype(np.float32),
                "r": random.standard_normal((tokens, rows)).astype(np.float32),
            }
            agree(model, inputs, variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("dtype", "segment"), [(DType.S8, 0), (DType.S8, 8), (DType.S4, 16), (DType.TERNARY, 4)])
def test_integer_values_without_quantised_rows(dtype, segment, variant):
    for group in GROUPS:
        model = rows_model(sparse(40, 50, group, 0.4, dtype, segment), 3)
        agree(model, {"x": np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)}, variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
def test_runs_shorter_than_the_symbol(dtype, variant):
    model = rows_model(sparse(70, 90, 16, 0.5, dtype), 150, symbol=True, bias=np.ones(70, np.float32), residual=True)
    for tokens in (1, 2, 7, 100, 150):
        random = np.random.default_rng(tokens)
        inputs = {
            name: random.standard_normal((tokens, size)).astype(np.float32) for name, size in (("x", 90), ("r", 70))
        }
        agree(model, inputs, variant, threads=3)


def test_list_of_kept_columns_equals_the_bitmap():
    matrix = sparse(24, 60, 8, 0.9)
    listed = dataclasses.replace(matrix, kept=matrix.indices)
    inputs = {"x": np.random.default_rng(2).standard_normal((5, 60)).astype(np.float32)}
    for variant in VARIANTS:
        agree(rows_model(listed, 5), inputs, variant)
