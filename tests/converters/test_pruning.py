"""Masks drop the right groups, patterns are found again, and a pruned graph runs as what it is."""

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from edge_sparse.converters.pruning import LayerOverride, PruneOptions, detect_patterns, parse_group, prune_graph
from edge_sparse.converters.pruning.break_even import break_even_density, break_even_density_by_time
from edge_sparse.converters.pruning.groups import as_matrices, as_weight, group_mask, group_scores, widest_group
from graph_builder import GraphBuilder
from graph_twin import evaluate
from hypothesis import given
from hypothesis import strategies as st

from edge_sparse.backends.reference.executor import run_plan
from edge_sparse.errors import PruningError
from edge_sparse.format.packing import GROUPS, bands_of, pack_dense

NETWORK = ((64, 1), (32, 3), (24, 1))


def network(seed=0):
    b = GraphBuilder(1, 3, 17, 17, seed=seed)
    x = b.conv("x", 16, 3, stride=2, activation="relu")
    x = b.depthwise(x, activation="relu")
    for channels, kernel in NETWORK:
        x = b.conv(x, channels, kernel, activation="relu")
    return b.finish(b.linear(b.mean(x), 40))


def strips(rows, group):
    return [
        (first, first + band.group)
        for band in bands_of(rows, group)
        for first in range(band.first_row, band.first_row + band.rows, band.group)
    ]


@given(
    st.integers(1, 40), st.integers(1, 12), st.sampled_from(GROUPS), st.floats(0, 0.99), st.sampled_from(["l1", "l2"])
)
def test_mask_drops_the_lowest_whole_groups_up_to_the_sparsity(rows, columns, group, sparsity, norm):
    matrix = np.random.default_rng(rows * columns).standard_normal((rows, columns))
    mask = group_mask(matrix, group, sparsity, norm)
    dropped, kept = [], []
    for first, last in strips(rows, group):
        for column in range(columns):
            part = matrix[first:last, column]
            score = np.abs(part).mean() if norm == "l1" else np.sqrt((part**2).mean())
            flags = mask[first:last, column]
            assert flags.all() or not flags.any()
            (kept if flags[0] else dropped).append(score)
    assert max(dropped, default=-1) <= min(kept, default=np.inf) + 1e-12
    missing = sparsity * rows * columns - (~mask).sum()
    assert -1e-5 <= missing < min(group, rows) + 1e-5


@given(st.sampled_from(GROUPS), st.integers(0, 50))
def test_widest_group_finds_what_was_pruned(group, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((64, 40)) * np.repeat(rng.random((64 // group, 40)) < 0.5, group, axis=0)
    found, density = widest_group(matrix)
    assert found >= group
    assert density == pytest.approx((matrix != 0).mean(), rel=0.06)
    assert density == pytest.approx(pack_dense("w", matrix.astype(np.float32), found).density)


def test_matrix_view_orders_columns_by_tap_then_channel():
    weight = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2).astype(float)
    matrix = as_matrices(weight)[0]
    for o, i, h, w in np.ndindex(weight.shape):
        assert matrix[o, (h * 2 + w) * 3 + i] == weight[o, i, h, w]
    np.testing.assert_array_equal(as_weight(as_matrices(weight), weight.shape), weight)


def test_kernel_pattern_scores_all_taps_together():
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    scores = group_scores(as_matrices(weight)[0], 4, "l1", taps=9)
    np.testing.assert_allclose(scores[0], np.abs(weight).mean(axis=(0, 2, 3)))


@pytest.mark.parametrize("scope", ["strip", "layer", "global"])
@pytest.mark.parametrize("pattern", ["tap", "kernel"])
@pytest.mark.parametrize("group", [None, 1, 8, 32])
def test_pruned_graph_runs_equal_to_its_twin(group, pattern, scope):
    graph = network()
    before = {name: None if value.data is None else value.data.copy() for name, value in graph.values.items()}
    result = prune_graph(graph, PruneOptions(0.6, group=group, convolution_pattern=pattern, scope=scope))
    for name, value in graph.values.items():
        if value.data is not None:
            np.testing.assert_array_equal(value.data, before[name])
    groups = {name: found.group for name, found in result.patterns.items() if found.sparse}
    assert len(groups) == 4
    model = lower(result.graph, groups)
    total = sum(m.rows * m.columns for m in model.matrices if m.density < 1)
    kept = sum(m.kept_weights for m in model.matrices if m.density < 1)
    assert kept / total == pytest.approx(0.4, abs=0.03)
    x = np.random.default_rng(1).standard_normal((1, 3, 17, 17)).astype(np.float32)
    (expected,) = evaluate(result.graph, {"x": x}).values()
    (found,) = run_plan(model, model.plan(), {"x": x}).values()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_stem_and_depthwise_stay_dense_with_the_reason():
    patterns = prune_graph(network(), PruneOptions(0.5)).patterns
    reasons = {p.operator: p.reason for p in patterns.values() if not p.sparse}
    assert reasons == {"stem": "stem: 3 input channels", "depthwise": "depthwise"}


def test_patterns_of_a_pruned_model_are_found_again():
    result = prune_graph(network(), PruneOptions(0.7, group=8))
    found = detect_patterns(result.graph)
    for name, pattern in result.patterns.items():
        assert found[name].sparse == pattern.sparse
        if pattern.sparse:
            assert found[name].group >= 8
            assert found[name].density == pytest.approx(pattern.density, rel=0.06)


@pytest.mark.parametrize(("rows", "widest"), [(10, 8), (3, 2), (33, 32), (1, 1)])
def test_a_group_wider_than_the_layer_is_never_found(rows, widest):
    b = GraphBuilder(1, 16)
    graph = b.finish(b.linear("x", rows))
    graph.values[graph.nodes[0].inputs[1]].data[:, ::2] = 0
    (pattern,) = detect_patterns(graph).values()
    assert pattern.group == widest
    assert pattern.density == 0.5


def test_few_zeros_do_not_pay():
    patterns = prune_graph(network(), PruneOptions(0.02)).patterns
    assert not any(pattern.sparse for pattern in patterns.values())
    assert any("larger" in p.reason or "too few" in p.reason for p in patterns.values())


def test_overrides_choose_layers_by_name():
    graph = network()
    stem = graph.nodes[0].name
    overrides = {stem: LayerOverride(0.5, 1), "linear*": LayerOverride(0.0)}
    patterns = prune_graph(graph, PruneOptions(0.5, overrides=overrides)).patterns
    assert patterns[stem].sparse
    assert patterns[stem].group == 1
    assert not any(pattern.sparse for name, pattern in patterns.items() if name.startswith("linear"))


def test_break_even_is_where_the_bytes_are_equal():
    density = break_even_density(64, 128, 4)
    assert density * 64 * 128 * 4 + 16 * (128 / 8 + 4) == pytest.approx(64 * 128 * 4)
    assert break_even_density(1, 1, 1) == 0


@pytest.mark.parametrize(
    ("times", "density"),
    [
        ({0.2: 1.0, 0.6: 3.0, 1.0: 5.0}, 0.8),
        ({0.3: 1.0, 0.9: 3.0}, 0.9),
        ({0.1: 4.0, 0.5: 3.0}, 0.0),
        ({0.1: 1.0, 0.5: 4.0, 0.9: 3.9}, 0.5),
    ],
)
def test_break_even_by_time_is_where_the_lines_cross(times, density):
    assert break_even_density_by_time(4.0, times) == pytest.approx(density)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: PruneOptions(1.0), "SPARSITY_RANGE"),
        (lambda: PruneOptions(-0.1), "SPARSITY_RANGE"),
        (lambda: PruneOptions(0.5, group=5), "GROUP_UNKNOWN"),
        (lambda: PruneOptions(0.5, scope="net"), "OPTION_UNKNOWN"),
        (lambda: parse_group("gs5x1"), "GROUP_UNKNOWN"),
        (lambda: parse_group("4"), "GROUP_UNKNOWN"),
        (lambda: break_even_density_by_time(1.0, {}), "TIMES_MISSING"),
        (lambda: break_even_density_by_time(0.0, {0.5: 1.0}), "TIMES_MISSING"),
        (
            lambda: prune_graph(network(), PruneOptions(0.5, overrides={"nope": LayerOverride(0.1)})),
            "OVERRIDE_UNMATCHED",
        ),
    ],
)
def test_errors(call, code):
    with pytest.raises(PruningError, match=code):
        call()


def test_nan_weights_are_refused():
    graph = network()
    weight = graph.values[graph.nodes[2].inputs[1]]
    weight.data = weight.data.copy()
    weight.data.flat[3] = np.nan
    with pytest.raises(PruningError, match="WEIGHTS_NOT_FINITE"):
        prune_graph(graph, PruneOptions(0.5))


def test_group_token():
    assert parse_group("gs16x1") == 16
