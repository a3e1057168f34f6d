"""Rewrites leave what a graph computes as it is, and take away the nodes that they say."""

from collections import Counter

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from edge_sparse.converters.passes import PASSES, copy_graph, optimise
from edge_sparse.converters.passes.fold_batch_norm import fold_batch_norm
from edge_sparse.converters.passes.remove_dead import remove_dead
from graph_builder import GraphBuilder
from graph_twin import evaluate

from edge_sparse.backends.reference.executor import run_plan

LARGEST = float(np.finfo(np.float32).max)


class Builder(GraphBuilder):
    """Adds the operations that only unoptimised graphs have."""

    def activate(self, x, name, **limits):
        return self.same("activation", x, activation=name, **limits)

    def clamp(self, x, low, high):
        return self.activate(x, "clamp", clamp_low=low, clamp_high=high)

    def number(self, value):
        return self.constant(data=np.array([value]))

    def norm(self, x):
        channels = self.shape(x)[1]
        scale = self.constant(data=self.random.uniform(0.5, 1.5, channels))
        return self.same("batch_norm", x, scale, self.constant(channels))

    def pad(self, x, *sides, value=0.0):
        batch, channels, height, width = self.shape(x)
        shape = (batch, channels, height + sides[0] + sides[2], width + sides[1] + sides[3])
        return self.node("pad", [x], shape, padding=sides, value=value)

    def subsample(self, x, down, across):
        batch, channels, height, width = self.shape(x)
        shape = (batch, channels, -(-height // down), -(-width // across))
        return self.node("subsample", [x], shape, stride=(down, across))

    def reshape(self, x, *shape):
        return self.node("reshape", [x], shape)

    def select(self, x, *channels):
        batch, _, height, width = self.shape(x)
        return self.node("select_channels", [x], (batch, len(channels), height, width), channels=channels)


def relu6_by_hand(b, x):
    return b.clamp(b.clamp(b.same("add", x, b.number(3)), 0, LARGEST), -LARGEST, 6)


def two_readers(b):
    y = b.conv("x", 4)
    return b.same("add", b.norm(y), b.activate(y, "relu"))


def residual_of_later_value(b):
    y = b.conv("x", 3, 3)
    return b.activate(b.same("add", y, b.conv(b.conv("x", 5, activation="relu"), 3)), "relu")


#: What each graph becomes: builder, and the operations that are left.
REWRITES = {
    "batch norm into conv": (lambda b: b.norm(b.conv("x", 6, 3)), "conv"),
    "batch norm into depthwise": (lambda b: b.norm(b.depthwise("x")), "conv"),
    "batch norm into grouped conv": (lambda b: b.norm(b.conv(b.conv("x", 4), 6, groups=2)), "conv conv"),
    "batch norm into linear": (lambda b: b.norm(b.linear(b.mean("x"), 5)), "mean linear"),
    "two batch norms": (lambda b: b.norm(b.norm(b.conv("x", 6))), "conv"),
    "batch norm and relu": (lambda b: b.activate(b.norm(b.conv("x", 4)), "relu"), "conv"),
    "batch norm after relu stays": (lambda b: b.norm(b.conv("x", 4, activation="relu")), "conv batch_norm"),
    "batch norm of a value read twice stays": (two_readers, "conv batch_norm activation add"),
    "lone batch norm takes the relu": (lambda b: b.activate(b.norm("x"), "relu"), "batch_norm"),
    "factor into conv": (lambda b: b.same("mul", b.conv("x", 4), b.number(-0.5)), "conv"),
    "factor per channel": (lambda b: b.same("mul", b.conv("x", 4), b.constant(1, 4, 1, 1)), "conv"),
    "factor per pixel stays": (lambda b: b.same("mul", b.conv("x", 4), b.constant(1, 1, 9, 8)), "conv mul"),
    "summand into conv": (lambda b: b.same("add", b.conv("x", 4), b.constant(4, 1, 1)), "conv"),
    "relu into add": (lambda b: b.activate(b.same("add", "x", "x"), "relu"), "add"),
    "sigmoid into mean": (lambda b: b.activate(b.mean("x"), "sigmoid"), "mean"),
    "relu into pool stays": (lambda b: b.activate(b.pool("max_pool", "x", 2, 2), "relu"), "max_pool activation"),
    "two clamps": (lambda b: b.clamp(b.clamp("x", -1, 0.5), -0.25, 2), "activation"),
    "clamps apart": (lambda b: b.clamp(b.clamp("x", 1, 2), -2, -1), "activation"),
    "relu then clamp": (lambda b: b.clamp(b.activate(b.conv("x", 4), "relu"), -1, 0.7), "conv"),
    "residual": (lambda b: b.same("add", b.conv("x", 3), "x"), "conv"),
    "residual, then relu": (residual_of_later_value, "conv conv conv"),
    "residual of a depthwise stays": (lambda b: b.same("add", b.depthwise("x"), "x"), "conv add"),
    "sum of a conv with itself stays": (lambda b: b.same("add", *[b.conv("x", 3)] * 2), "conv add"),
    "pad into conv": (lambda b: b.conv(b.pad("x", 1, 0, 2, 1), 4, 3), "conv"),
    "pad with ones stays": (lambda b: b.conv(b.pad("x", 1, 1, 1, 1, value=1.0), 4, 3), "pad conv"),
    "pad into counting pool": (
        lambda b: b.pool("avg_pool", b.pad("x", 1, 1, 1, 1), 2, 2, count_include_pad=False),
        "avg_pool",
    ),
    "pad before a pool that does not count": (
        lambda b: b.pool("avg_pool", b.pad("x", 1, 1, 1, 1), 3, 2, 1, count_include_pad=False),
        "pad avg_pool",
    ),
    "pad into max pool of positives": (
        lambda b: b.pool("max_pool", b.pad(b.activate("x", "relu"), 1, 1, 0, 1), 3, 2, dilation=(1, 1)),
        "activation max_pool",
    ),
    "pad before max pool stays": (lambda b: b.pool("max_pool", b.pad("x", 1, 1, 0, 1), 3, 2), "pad max_pool"),
    "lowest pad into max pool": (
        lambda b: b.pool("max_pool", b.pad("x", 1, 0, 0, 1, value=-LARGEST), 3, 2),
        "max_pool",
    ),
    "pad wider than the pool's window": (
        lambda b: b.pool("max_pool", b.pad(b.activate("x", "relu"), 3, 0, 0, 0), 2, 2),
        "activation pad max_pool",
    ),
    "hardsigmoid": (lambda b: b.same("mul", relu6_by_hand(b, "x"), b.number(1 / 6)), "activation"),
    "hardswish, product first": (
        lambda b: b.same("mul", b.same("mul", "x", relu6_by_hand(b, "x")), b.number(1 / 6)),
        "activation",
    ),
    "hardswish, factor on x": (
        lambda b: b.same("mul", b.same("mul", "x", b.number(1 / 6)), relu6_by_hand(b, "x")),
        "activation",
    ),
    "hardswish of a conv": (
        lambda b: (lambda y: b.same("mul", b.same("mul", relu6_by_hand(b, y), b.number(1 / 6)), y))(b.conv("x", 4)),
        "conv",
    ),
    "silu of a conv": (lambda b: (lambda y: b.same("mul", y, b.activate(y, "sigmoid")))(b.conv("x", 4)), "conv"),
    "gate of another value stays": (
        lambda b: b.same("mul", "x", b.activate(b.same("add", "x", b.number(1)), "sigmoid")),
        "add mul",
    ),
    "constants": (
        lambda b: b.same("mul", "x", b.same("add", b.number(2), b.number(0.5))),
        "mul",
    ),
    "two factors": (lambda b: b.same("mul", b.same("mul", "x", b.number(2)), b.constant(1, 3, 1, 1)), "mul"),
    "nothing": (
        lambda b: b.select(b.pad(b.same("add", b.same("mul", "x", b.number(1)), b.number(0)), 0, 0, 0, 0), 0, 1, 2),
        "select_channels",
    ),
    "nothing before relu": (
        lambda b: b.activate(b.subsample(b.same("mul", "x", b.number(1)), 1, 1), "relu"),
        "activation",
    ),
    "reshapes": (lambda b: b.reshape(b.reshape("x", 2, 216), 2, 8, 3, 9), "reshape"),
    "reshape and back": (lambda b: b.activate(b.reshape(b.reshape("x", 2, 216), 2, 3, 9, 8), "relu"), "activation"),
    "subsamples": (lambda b: b.subsample(b.subsample("x", 2, 1), 1, 3), "subsample"),
    "identity as output": (lambda b: b.same("mul", b.conv("x", 4), b.number(1)), "conv"),
}


def random_input(seed=1):
    return {"x": np.random.default_rng(seed).standard_normal((2, 3, 9, 8)).astype(np.float32)}


def assert_same(before, after):
    for seed in (1, 2):
        expected, found = evaluate(before, random_input(seed)), evaluate(after, random_input(seed))
        assert list(expected) == list(found)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def build(make, seed=0):
    builder = Builder(2, 3, 9, 8, seed=seed)
    return builder.finish(make(builder))


@pytest.mark.parametrize("name", REWRITES)
def test_rewrites_keep_the_result(name):
    make, left = REWRITES[name]
    graph = build(make)
    before = copy_graph(graph)
    optimised = optimise(graph)
    assert graph == before or [node.op for node in graph.nodes] == [node.op for node in before.nodes]
    assert Counter(node.op for node in optimised.nodes) == Counter(left.split())
    assert_same(graph, optimised)
    touched = {value for node in optimised.nodes for value in (*node.inputs, *node.outputs)}
    assert set(optimised.values) == touched.union(optimised.inputs)


def random_network(b, steps=14):
    """Chain random operations, sometimes on older values."""
    known = ["x"]

    def recent():
        return known[int(b.random.integers(max(0, len(known) - 3), len(known)))]

    def gate(x):
        return b.same("mul", x, b.conv(b.mean(x, keepdim=True), b.shape(x)[1], activation="sigmoid"))

    def summed(x):
        same = [name for name in known if b.shape(name) == b.shape(x)]
        return b.same("add", x, same[int(b.random.integers(len(same)))])

    moves = [
        lambda x: b.conv(x, int(b.random.integers(2, 7)), int(b.random.choice([1, 3]))),
        lambda x: b.conv(b.pad(x, 1, 1, 1, 1), b.shape(x)[1], 3, padding=(0, 0, 0, 0)),
        lambda x: b.norm(b.conv(x, b.shape(x)[1])),
        lambda x: b.depthwise(x),
        b.norm,
        summed,
        summed,
        gate,
        lambda x: b.activate(x, str(b.random.choice(["relu", "hardswish", "sigmoid", "tanh"]))),
        lambda x: b.clamp(x, -0.5, float(b.random.uniform(0, 2))),
        lambda x: b.same("mul", x, b.number(b.random.uniform(-1, 1))),
        lambda x: b.same("add", x, b.constant(1, b.shape(x)[1], 1, 1)),
        lambda x: b.concat(x, x),
    ]
    for _ in range(steps):
        known.append(moves[int(b.random.integers(len(moves)))](recent()))
    return known[-1]


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_keep_their_result(seed):
    graph = build(random_network, seed)
    optimised = optimise(graph)
    assert len(optimised.nodes) <= len(graph.nodes)
    assert_same(graph, optimised)
    if seed % 4 == 0:
        for layout in ("chw", "nhwc"):
            model = lower(optimised, {}, layout=layout)
            (found,) = run_plan(model, model.plan(), random_input()).values()
            (expected,) = evaluate(graph, random_input()).values()
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("rewrite", PASSES, ids=lambda rewrite: rewrite.__name__)
def test_every_pass_alone_keeps_the_result(rewrite):
    for seed in range(6):
        graph = build(random_network, seed)
        changed = copy_graph(graph)
        rewrite(changed)
        assert_same(graph, changed)


def test_dead_nodes_are_removed():
    builder = Builder(2, 3, 9, 8)
    builder.norm(builder.conv("x", 4))
    graph = builder.finish(builder.activate("x", "relu"))
    assert remove_dead(graph)
    assert [node.op for node in graph.nodes] == ["activation"]
    assert not remove_dead(graph)


def test_folding_is_done_in_double_precision_and_keeps_names_origin_and_zeros():
    builder = Builder(2, 3, 9, 8)
    y = builder.conv("x", 8, prune=(4, 0.5))
    out = builder.activate(builder.norm(y), "relu")
    graph = builder.finish(out)
    conv, norm = graph.nodes[:2]
    weight = graph.values[conv.inputs[1]]
    weight.origin = "conv.weight"
    scale = graph.constant(norm.inputs[1])
    optimised = optimise(graph)
    (fused,) = optimised.nodes
    folded = optimised.values[fused.inputs[1]]
    assert (fused.name, fused.outputs, folded.origin) == (conv.name, [out], "conv.weight")
    assert np.array_equal(folded.data != 0, weight.data != 0)
    exact = weight.data.astype(np.float64) * scale.astype(np.float64).reshape(-1, 1, 1, 1)
    assert folded.data.dtype == np.float32
    assert np.array_equal(folded.data, exact.astype(np.float32))
    assert np.array_equal(weight.data, graph.constant(conv.inputs[1]))


def test_weights_shared_by_two_layers_are_folded_apart():
    builder = Builder(2, 3, 9, 8)
    first = builder.conv("x", 3)
    weight = builder.graph.nodes[0].inputs[1:]
    second = builder.same("conv", "x", *weight, **builder.graph.nodes[0].attributes)
    graph = builder.finish(builder.concat(builder.norm(first), builder.norm(second)))
    optimised = copy_graph(graph)
    assert fold_batch_norm(optimised)
    assert_same(graph, optimised)
