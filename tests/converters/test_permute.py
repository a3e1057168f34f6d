"""Rearranged graphs compute the same, and their groups keep more magnitude."""

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from edge_sparse.converters.pruning import PruneOptions, prune_graph
from edge_sparse.converters.pruning.channel_blocks import Block, Span, axis_order, expanded, resolve, sliced, unify
from edge_sparse.converters.pruning.channel_coupling import couple
from edge_sparse.converters.pruning.channel_permutation import permuted
from edge_sparse.converters.pruning.groups import group_mask
from edge_sparse.converters.pruning.permute import rearrange
from edge_sparse.converters.pruning.row_search import RowMatrix, Window, improve, kept_share
from graph_builder import GraphBuilder
from graph_twin import evaluate
from hypothesis import given
from hypothesis import strategies as st
from permutable_networks import (
    NETWORKS,
    PINNED,
    chain,
    channel_multiplier,
    concatenations,
    flatten,
    grouped,
    inner_output,
    option_a_shortcut,
    residual,
    squeeze_and_excite,
    unknown_operation,
)

from edge_sparse.backends.reference.executor import run_plan
from edge_sparse.errors import PruningError


@pytest.fixture(autouse=True)
def _an_operation_without_a_rule(monkeypatch):
    import graph_twin

    monkeypatch.setitem(graph_twin.OPERATIONS, "reverse", lambda node, x: x[:, ::-1])


def built(network, seed=0, batch=2):
    b = GraphBuilder(batch, 3, 6, 8, seed=seed)
    outputs = network(b)
    return b.finish(*(outputs if isinstance(outputs, tuple) else (outputs,)))


def images(graph):
    return {"x": np.random.default_rng(5).standard_normal(graph.values["x"].shape).astype(np.float32)}


def free_blocks(coupling):
    blocks = {span.block for axis in coupling.axes.values() for span in resolve(axis)}
    return [block for block in blocks if not block.pinned and block.size > 1]


def assert_same_outputs(graph, other):
    expected, found = evaluate(graph, images(graph)), evaluate(other, images(graph))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_any_order_of_the_free_blocks_computes_the_same(network):
    graph = built(network)
    coupling = couple(graph)
    blocks = free_blocks(coupling)
    random = np.random.default_rng(1)
    result, changed = permuted(graph, coupling, {block: random.permutation(block.size) for block in blocks})
    assert bool(changed) == (network not in PINNED)
    assert_same_outputs(graph, result)
    for name, value in graph.values.items():
        if value.data is not None:
            index = [
                np.arange(length) if order is None else order
                for order, length in zip(changed.get(name, (None,) * value.data.ndim), value.data.shape, strict=True)
            ]
            np.testing.assert_array_equal(result.values[name].data, value.data[np.ix_(*index)])


@pytest.mark.parametrize("network", NETWORKS)
def test_orders_tell_how_activations_changed(network):
    graph = built(network)
    coupling = couple(graph)
    random = np.random.default_rng(2)
    orders = {block: random.permutation(block.size) for block in free_blocks(coupling)}
    result, changed = permuted(graph, coupling, orders)
    names = [node.outputs[0] for node in graph.nodes]
    graph.outputs = result.outputs = names
    before, after = evaluate(graph, images(graph)), evaluate(result, images(graph))
    for name in names:
        index = [
            np.arange(length) if order is None else order
            for order, length in zip(changed.get(name, (None,) * before[name].ndim), before[name].shape, strict=True)
        ]
        np.testing.assert_allclose(after[name], before[name][np.ix_(*index)], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "sizes"),
    [
        (chain, [16, 24]),
        (residual, [16, 24, 32]),
        (squeeze_and_excite, [8, 32]),
        (concatenations, [8, 12, 20]),
        (flatten, [12, 20]),
        (grouped, [16]),
        (channel_multiplier, [12]),
        (option_a_shortcut, [8, 16, 16, 32, 32]),
        (inner_output, [16]),
        (unknown_operation, [8]),
    ],
)
def test_as_much_as_possible_is_free(network, sizes):
    assert sorted(block.size for block in free_blocks(couple(built(network)))) == sizes


@pytest.mark.parametrize("scope", ["strip", "layer"])
@pytest.mark.parametrize("network", NETWORKS)
def test_rearranged_graph_computes_the_same_and_keeps_at_least_as_much(network, scope):
    graph = built(network)
    result = rearrange(graph, 4, sparsity=0.6, scope=scope)
    assert_same_outputs(graph, result.graph)
    assert all(gain.after >= gain.before for gain in result.gains)
    again = rearrange(graph, 4, sparsity=0.6, scope=scope)
    assert result.orders.keys() == again.orders.keys()
    for name, orders in result.orders.items():
        for first, second in zip(orders, again.orders[name], strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("network", [option_a_shortcut, residual, squeeze_and_excite, flatten])
def test_pruned_after_rearranging_it_runs_as_its_twin(network, layout):
    graph = built(network)
    result = prune_graph(rearrange(graph, 4, sparsity=0.5).graph, PruneOptions(0.5, group=4))
    model = lower(result.graph, {n: p.group for n, p in result.patterns.items() if p.sparse}, layout=layout)
    expected = evaluate(result.graph, images(graph))
    for name, value in run_plan(model, model.plan(), images(graph)).items():
        np.testing.assert_allclose(value, expected[name].reshape(value.shape), rtol=1e-4, atol=1e-4)


def planted(rows, columns, group, seed, taps=1):
    """A matrix whose groups are either large or nearly zero."""
    random = np.random.default_rng(seed)
    keep = np.tile(random.random((rows // group, columns // taps)) < 0.25, (1, taps))
    return np.repeat(keep, group, axis=0) * (1 + random.random((rows, columns))) + 0.1 * random.random((rows, columns))


@pytest.mark.parametrize(("rows", "columns", "group"), [(32, 64, 4), (64, 48, 8), (64, 128, 16), (64, 64, 32)])
def test_shuffled_groups_are_found_again(rows, columns, group):
    weight = planted(rows, columns, group, 0)
    shuffled = weight[np.random.default_rng(1).permutation(rows)]
    share = [np.abs(m)[group_mask(m, group, 0.75)].sum() / m.sum() for m in (weight, shuffled)]
    matrix = RowMatrix("m", shuffled.astype(np.float32), group, 0.75, balanced=False)
    window = Window(matrix, 0, rows)
    assert kept_share([window]) == pytest.approx(share[1], rel=1e-4)
    order = improve([window], 10, np.random.default_rng(0), lambda done: None)
    assert sorted(order) == list(range(rows))
    magnitudes = matrix.rows * matrix.scales[:, None] * rows
    np.testing.assert_allclose(magnitudes, shuffled[order] / shuffled.sum(), rtol=1e-5)
    assert kept_share([window]) == pytest.approx(share[0], rel=1e-3)
    assert share[0] > share[1] + 0.2


@pytest.mark.parametrize("balanced", [False, True])
def test_gain_of_a_swap_is_what_the_definition_says(balanced):
    random = np.random.default_rng(0)
    matrix = RowMatrix("m", random.random((22, 9)).astype(np.float32), 4, 0.5, balanced=balanced)
    window = Window(matrix, 3, 15)
    window.refresh()
    thresholds = window.thresholds.copy()
    assert (len(np.unique(thresholds)) > 1) == balanced

    def worth():
        return sum(
            np.maximum(matrix.rows[s : s + int(h)].sum(axis=0) - t * h, 0).sum()
            for s, h, t in zip(matrix.starts, matrix.heights, thresholds, strict=True)
        )

    for row, other in ((0, 14), (7, 2), (3, 4), (11, 11)):
        thresholds = window.thresholds.copy()
        before, gain = worth(), window.gains(row)[other]
        window.exchange(row, other)
        assert worth() - before == pytest.approx(gain, abs=1e-6)
        excess = matrix.sums() - (window.thresholds * matrix.heights)[:, None]
        np.testing.assert_allclose(window.without, excess[window.strips] - window.rows, atol=1e-6)
        if balanced:
            touched = [window.strips[row], window.strips[other]]
            exact = [matrix.kept_of_strip(strip)[1] for strip in touched]
            np.testing.assert_allclose(window.thresholds[touched], exact, rtol=1e-5)


def test_two_layers_with_one_order_are_weighed_together():
    b = GraphBuilder(1, 64, 4, 4)
    order = np.random.default_rng(3).permutation(32)
    x = b.conv("x", 32)
    y = b.conv("x", 32)
    for node, seed in zip(b.graph.nodes, (0, 1), strict=True):
        b.graph.values[node.inputs[1]].data = planted(32, 64, 4, seed)[order].astype(np.float32)[:, :, None, None]
    graph = b.finish(b.conv(b.same("add", x, y), 4))
    (gain,) = [gain for gain in rearrange(graph, 4, sparsity=0.75).gains if len(gain.layers) == 2]
    assert gain.channels == 32
    assert gain.before < 0.6
    assert gain.after > 0.85


def test_kernel_pattern_and_layer_settings_decide_what_is_searched():
    b = GraphBuilder(1, 16, 4, 4)
    x = b.conv("x", 32, 3)
    graph = b.finish(b.conv(b.conv(x, 16), 4))
    names = [node.name for node in graph.nodes]
    weight = planted(32, 16 * 9, 8, 0, taps=9)[np.random.default_rng(3).permutation(32)]
    data = weight.reshape(32, 9, 16).transpose(0, 2, 1).reshape(32, 16, 3, 3)
    graph.values[graph.nodes[0].inputs[1]].data = data.astype(np.float32)
    options = {"sparsity": {names[0]: 0.75, names[1]: 0.5}, "convolution_pattern": "kernel", "scope": "layer"}
    result = rearrange(graph, {names[0]: 8, names[1]: 4}, **options)
    assert {gain.layers for gain in result.gains} == {(names[0],), (names[1],)}
    assert result.gains[0].after > 0.85 > result.gains[0].before
    only = rearrange(graph, {names[0]: 8}, **options)
    assert [gain.layers for gain in only.gains] == [(names[0],)]


def test_values_that_stay_are_not_copied_and_the_source_is_untouched():
    graph = built(residual)
    before = {name: value.data.copy() for name, value in graph.values.items() if value.data is not None}
    result = rearrange(graph, 4, sparsity=0.5)
    for name, data in before.items():
        np.testing.assert_array_equal(graph.values[name].data, data)
        if name not in result.orders:
            assert result.graph.values[name].data is graph.values[name].data
    assert [node.name for node in result.graph.nodes] == [node.name for node in graph.nodes]


def test_progress_rises_to_its_total():
    calls = []
    rearrange(built(residual), 4, sparsity=0.5, progress=lambda done, total: calls.append((done, total)))
    assert len({total for _, total in calls}) == 1
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1] > 0


def test_a_small_budget_is_respected():
    b = GraphBuilder(1, 32, 2, 2)
    graph = b.finish(b.conv(b.conv("x", 256), 4))
    calls = []
    result = rearrange(graph, 4, sparsity=0.5, seconds=1e-3, progress=lambda done, total: calls.append(done))
    assert result.gains[0].after > result.gains[0].before
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("groups", "options", "code"),
    [
        (3, {}, "GROUP_UNKNOWN"),
        (4, {"sparsity": 1.0}, "SPARSITY_RANGE"),
        ({"nowhere": 4}, {}, "LAYER_UNKNOWN"),
        (4, {"convolution_pattern": "row"}, "OPTION_UNKNOWN"),
        (4, {"scope": "net"}, "OPTION_UNKNOWN"),
    ],
)
def test_errors(groups, options, code):
    with pytest.raises(PruningError, match=code):
        rearrange(built(chain), groups, **options)


def test_nan_weights_are_refused():
    graph = built(chain)
    graph.values[graph.nodes[2].inputs[1]].data[0, 0] = np.nan
    with pytest.raises(PruningError, match="WEIGHTS_NOT_FINITE"):
        rearrange(graph, 4)


SIZES, REPEATS = st.integers(1, 6), st.integers(1, 3)


@given(st.data())
def test_unified_axes_have_equal_orders(data):
    """Axes of arbitrary blocks, some shared, unified in pairs: equal orders, and every order is a permutation."""
    pool = [Span(Block(n), r) for n, r in data.draw(st.lists(st.tuples(SIZES, REPEATS), min_size=1, max_size=4))]
    total = data.draw(st.integers(4, 12))

    def axis():
        spans, missing = [], total
        while missing:
            fitting = [span for span in pool if span.entries <= missing]
            spans.append(data.draw(st.sampled_from([*fitting, Span(Block(missing))])))
            missing -= spans[-1].entries
        return spans

    axes = [axis() for _ in range(3)]
    unify(axes[0], axes[1])
    unify(axes[1], axes[2])
    random = np.random.default_rng(0)
    blocks = {span.block for a in axes for span in resolve(a)}
    orders = {block: random.permutation(block.size) for block in blocks if not block.pinned}
    found = [axis_order(a, orders) for a in axes]
    found = [np.arange(total) if order is None else order for order in found]
    for order in found:
        np.testing.assert_array_equal(order, found[0])
        assert sorted(order) == list(range(total))


def test_slices_cut_blocks_but_never_channels():
    axis = expanded([Span(Block(4)), Span(Block(2))], 3)
    assert [span.entries for span in sliced(axis, 3, 15)] == [9, 3]
    assert [span.block.size for span in resolve(axis)] == [1, 3, 1, 1]
    assert sliced(axis, 2, 6) is None


def test_axes_that_do_not_match_are_pinned():
    first, second = [Span(Block(4), 3)], [Span(Block(6), 2)]
    unify(first, second)
    assert all(span.block.pinned for span in (*resolve(first), *resolve(second)))


def test_entries_of_one_channel_are_bundled():
    first, second = [Span(Block(3), 4), Span(Block(2))], [Span(Block(14))]
    unify(second, first)
    assert [(span.block.size, span.repeat) for span in resolve(second)] == [(3, 4), (2, 1)]
