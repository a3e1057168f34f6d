"""Whole small networks, lowered in both layouts and run on NaN-filled memory, equal an independent evaluation."""

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder
from graph_twin import evaluate

from edge_sparse.backends.reference.executor import run_plan
from edge_sparse.errors import ConvertError, UnsupportedOperatorError
from edge_sparse.plan import Op


def mobilenet(b):
    x = b.conv("x", 8, 3, stride=2, activation="relu")
    for channels, stride in ((12, 1), (16, 2), (24, 2)):
        x = b.depthwise(x, stride=stride, activation="relu")
        x = b.conv(x, channels, prune=(4, 0.5), activation="relu")
    return b.linear(b.mean(x), 10)


def residual_bottlenecks(b):
    x = b.conv("x", 8, 3, activation="relu")
    for _ in range(2):
        y = b.conv(x, 24, activation="silu", prune=(8, 0.6))
        y = b.depthwise(y, 5, activation="silu")
        gate = b.conv(b.mean(y, keepdim=True), 4, activation="relu")
        gate = b.conv(gate, 24, activation="sigmoid")
        x = b.conv(b.same("mul", y, gate), 8, residual=x)
    y = b.same("add", x, b.conv(x, 8, 3, prune=(4, 0.3)), activation="relu")
    return b.same("softmax", b.linear(b.mean(y), 5))


def fire(b):
    x = b.pool("max_pool", b.conv("x", 16, 7, stride=2, activation="relu"), 3, 2)
    for _ in range(2):
        squeeze = b.conv(x, 6, activation="relu", prune=(2, 0.5))
        x = b.concat(b.conv(squeeze, 8, activation="relu"), b.conv(squeeze, 12, 3, activation="relu", prune=(1, 0.7)))
    return b.mean(b.conv(x, 7))


def strided_residual(b):
    x = b.pool("max_pool", b.conv("x", 8, 3, stride=2, activation="relu"), 3, 2, 1)
    shortcut = b.conv(x, 16, 1, stride=2)
    y = b.conv(x, 16, 3, stride=2, activation="relu", prune=(16, 0.5))
    y = b.conv(y, 16, 3, residual=shortcut, activation="relu", dilation=2)
    return b.linear(b.node("reshape", [y], (b.shape(y)[0], int(np.prod(b.shape(y)[1:])))), 3)


def grouped_image(b):
    return b.conv(b.conv("x", 8, 3, padding=(0, 0, 0, 0)), 8, 3, groups=2, activation="hardswish")


NETWORKS = [mobilenet, residual_bottlenecks, fire, strided_residual, grouped_image]


@pytest.mark.parametrize("size", [(32, 32), (27, 35)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("network", NETWORKS)
def test_lowered_network_equals_graph(network, layout, batch, size):
    builder = GraphBuilder(batch, 3, *size)
    graph = builder.finish(network(builder))
    x = np.random.default_rng(1).standard_normal((batch, 3, *size)).astype(np.float32)
    model = lower(graph, {}, layout=layout)
    (expected,) = evaluate(graph, {"x": x}).values()
    (result,) = run_plan(model, model.plan(), {"x": x}).values()
    np.testing.assert_allclose(result, expected.reshape(result.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("group", [1, 2, 4, 8, 16, 32])
def test_groups_decide_the_matrices(group):
    builder = GraphBuilder(1, 3, 16, 16)
    graph = builder.finish(builder.conv(builder.conv("x", 32, 3), 32, 1, prune=(group, 0.6)))
    name = graph.nodes[1].name
    model = lower(graph, {name: group}, layout="chw")
    matrix = next(m for m in model.matrices if m.columns == 32)
    assert {band.group for band in matrix.bands} == {group}
    assert matrix.density == np.count_nonzero(graph.constant(graph.nodes[1].inputs[1])) / 1024


@pytest.mark.parametrize("layout", ["chw", "nhwc"])
def test_a_value_and_its_reshaped_view_can_both_be_outputs(layout):
    builder = GraphBuilder(2, 3, 8, 8)
    pooled = builder.mean(builder.conv("x", 6), keepdim=True)
    flat = builder.node("reshape", [pooled], (2, 6))
    graph = builder.finish(pooled, flat)
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
    model = lower(graph, {}, layout=layout)
    results = run_plan(model, model.plan(), {"x": x})
    for name, expected in evaluate(graph, {"x": x}).items():
        np.testing.assert_allclose(results[name].ravel(), expected.ravel(), rtol=1e-4, atol=1e-5)


def test_arena_is_reused():
    builder = GraphBuilder(1, 8, 32, 32)
    x = "x"
    for _ in range(12):
        x = builder.conv(x, 8, 3)
    model = lower(builder.finish(x), {}, layout="chw")
    assert model.plan().arena_bytes < 4 * 8 * 36 * 36 * 4


def test_unknown_operations_are_listed_at_once():
    builder = GraphBuilder(1, 3, 8, 8)
    graph = builder.finish(builder.same("fold", builder.same("twist", "x")))
    with pytest.raises(UnsupportedOperatorError, match=r"(?s)fold.*twist"):
        lower(graph, {})


def test_groups_of_unknown_layers_are_refused():
    builder = GraphBuilder(1, 3, 8, 8)
    with pytest.raises(ConvertError, match="nowhere"):
        lower(builder.finish(builder.conv("x", 4)), {"nowhere": 4})


def test_auto_layout_follows_the_groups():
    builder = GraphBuilder(1, 3, 8, 8)
    graph = builder.finish(builder.conv("x", 32))
    assert lower(graph, {graph.nodes[0].name: 32}).metadata["layout"] == "nhwc"
    assert lower(graph, {graph.nodes[0].name: 4}).metadata["layout"] == "chw"


def test_a_plan_that_reads_outside_its_memory_is_caught():
    from dataclasses import replace

    from edge_sparse.errors import BackendError

    builder = GraphBuilder(1, 3, 16, 16)
    model = lower(builder.finish(builder.conv("x", 8, 3)), {}, layout="chw")
    plan = model.plan()
    steps = [
        replace(step, attributes={**step.attributes, "pad_top": 10_000}) if step.op is Op.SPMM else step
        for step in plan.steps
    ]
    with pytest.raises(BackendError, match="PLAN_OUT_OF_BOUNDS"):
        run_plan(model, replace(plan, steps=tuple(steps)), {"x": np.zeros((1, 3, 16, 16), np.float32)})
