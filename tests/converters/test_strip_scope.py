"""With scope "strip" every strip of rows loses the same share, and channels are rearranged for exactly that."""

import numpy as np
import pytest
from edge_sparse.converters.convert import convert
from edge_sparse.converters.pruning import PruneOptions, prune_graph
from edge_sparse.converters.pruning.groups import as_matrices, group_scores, group_sizes, keep_balanced, keep_best
from edge_sparse.converters.pruning.permute import rearrange
from edge_sparse.converters.pruning.row_search import RowMatrix, Window, improve, kept_share
from graph_builder import GraphBuilder
from graph_source import GraphSource
from hypothesis import given
from hypothesis import strategies as st

from edge_sparse.format.packing import GROUPS, bands_of, dense


def starts_of(rows, group):
    return [start for b in bands_of(rows, group) for start in range(b.first_row, b.first_row + b.rows, b.group)]


def balanced_twin(scores, sizes, sparsity):
    """Drop the lowest group of every strip, turn after turn; in the turn that exceeds the budget, lowest first."""
    keep, budget = np.ones(scores.shape, bool), np.floor(sparsity * sizes.sum() + 1e-6)
    order = [sorted(range(scores.shape[1]), key=lambda c, s=s: scores[s, c]) for s in range(len(scores))]
    for turn in range(scores.shape[1]):
        for strip in sorted(range(len(scores)), key=lambda s: scores[s, order[s][turn]]):
            budget -= sizes[strip, order[strip][turn]]
            if budget < 0:
                return keep
            keep[strip, order[strip][turn]] = False
    return keep


@given(st.integers(1, 45), st.integers(1, 12), st.sampled_from(GROUPS), st.floats(0, 0.99), st.sampled_from([1, 4]))
def test_strips_drop_equal_counts_of_their_lowest_groups(rows, channels, group, sparsity, taps):
    matrix = np.random.default_rng(rows * channels).standard_normal((rows, channels * taps))
    scores, sizes = group_scores(matrix, group, "l1", taps), group_sizes(*matrix.shape, group, taps)
    keep = keep_balanced(scores, sizes, sparsity)
    np.testing.assert_array_equal(keep, balanced_twin(scores, sizes, sparsity))
    counts = (~keep).sum(axis=1)
    assert int(sparsity * channels + 1e-6) <= counts.min() <= counts.max() <= counts.min() + 1
    for strip in range(len(scores)):
        assert scores[strip][~keep[strip]].max(initial=-1) <= scores[strip][keep[strip]].min(initial=np.inf)
    missing = sparsity * rows * channels * taps - sizes[~keep].sum()
    assert -1e-5 <= missing < min(group, rows) * taps + 1e-5


def test_one_strip_drops_what_a_layer_drops():
    scores = np.random.default_rng(0).random((1, 40))
    sizes = np.full((1, 40), 4)
    np.testing.assert_array_equal(keep_balanced(scores, sizes, 0.6), keep_best(scores, sizes, 0.6))


def small_rows(channels=24, kernel=3):
    """A network whose middle layer has four channels of small weights, which scope "layer" empties."""
    b = GraphBuilder(1, 3, 8, 8)
    x = b.conv("x", 16, 3)
    graph = b.finish(b.conv(b.conv(x, channels, kernel), 8))
    graph.values[graph.nodes[1].inputs[1]].data[4:8] *= 0.01
    return graph, graph.nodes[1].name


@pytest.mark.parametrize("pattern", ["tap", "kernel"])
def test_no_channel_is_emptied(pattern):
    graph, _ = small_rows()
    for chosen in ({}, {"scope": "strip"}):
        options = PruneOptions(0.5, group=4, convolution_pattern=pattern, **chosen)
        pruned = prune_graph(graph, options).graph
        matrix = as_matrices(pruned.constant(pruned.nodes[1].inputs[1]))[0]
        kept = (matrix != 0).sum(axis=1)
        assert np.count_nonzero(matrix) == matrix.size // 2
        assert (kept[4:8] == 0).all() == (not chosen)
        assert (kept == matrix.shape[1] // 2).all() == bool(chosen)


def test_grouped_convolutions_are_balanced_over_their_parts():
    b = GraphBuilder(1, 16, 4, 4)
    graph = b.finish(b.conv("x", 32, 3, groups=2))
    pruned = prune_graph(graph, PruneOptions(0.5, group=4, scope="strip")).graph
    kept = (as_matrices(pruned.constant(pruned.nodes[0].inputs[1]), 2) != 0).sum(axis=2)
    assert (kept == 36).all()


def planted(rows, columns, group, seed):
    """Every strip keeps a quarter of its columns, chosen anew; strips differ in scale."""
    random = np.random.default_rng(seed)
    keep = np.argsort(random.random((rows // group, columns)), axis=1) < columns // 4
    large = np.repeat(keep * random.uniform(0.5, 2, (rows // group, 1)), group, axis=0)
    return (large * (1 + random.random((rows, columns))) + 0.05 * random.random((rows, columns))).astype(np.float32)


@pytest.mark.parametrize(("rows", "columns", "group"), [(32, 64, 4), (64, 48, 8), (64, 128, 16)])
def test_planted_groups_of_strips_are_found_again(rows, columns, group):
    weight = planted(rows, columns, group, 0)
    shuffled = weight[np.random.default_rng(1).permutation(rows)]
    best = kept_share([Window(RowMatrix("m", weight, group, 0.75, balanced=True), 0, rows)])
    matrix = RowMatrix("m", shuffled.copy(), group, 0.75, balanced=True)
    window = Window(matrix, 0, rows)
    before = kept_share([window])
    order = improve([window], 10, np.random.default_rng(0), lambda done: None)
    np.testing.assert_allclose(matrix.rows, shuffled[order] / shuffled.sum(), rtol=1e-5)
    assert best > before + 0.2
    assert kept_share([window]) == pytest.approx(best, rel=1e-3)


@given(st.integers(5, 24), st.integers(2, 10), st.sampled_from([2, 4, 8]), st.floats(0.1, 0.9), st.integers(0, 99))
def test_the_kept_magnitude_never_falls(rows, columns, group, sparsity, seed):
    random = np.random.default_rng(seed)
    weight = (random.random((rows, columns)) * random.random((rows, 1)) ** 3).astype(np.float32)
    matrix = RowMatrix("m", weight.copy(), group, sparsity, balanced=True)
    order = improve([Window(matrix, 0, rows)], 5, random, lambda done: None)

    def kept(m):
        keep = keep_balanced(group_scores(m, group), group_sizes(*m.shape, group), sparsity)
        sums = np.add.reduceat(m, starts_of(rows, group), axis=0)
        return sums[keep].sum() / m.sum()

    assert kept(weight[order]) >= kept(weight) - 1e-5


def test_gains_are_those_of_the_pruning_that_follows():
    graph, name = small_rows(kernel=1)
    result = rearrange(graph, {name: 4}, sparsity=0.5)
    (gain,) = result.gains
    for before, share in ((graph, gain.before), (result.graph, gain.after)):
        pruned = prune_graph(before, PruneOptions(0.5, group=4)).graph
        weights = [np.abs(g.constant(g.nodes[1].inputs[1])).sum(dtype=float) for g in (pruned, before)]
        assert weights[0] / weights[1] == pytest.approx(share, rel=1e-5)


def test_convert_balances_strips():
    graph, name = small_rows()
    result = convert(GraphSource(graph), sparsity=0.5, group=4, scope="strip", rearrange=True)
    (matrix,) = [matrix for matrix in result.model.matrices if matrix.name == name]
    assert len(set(matrix.counts.tolist())) == 1
    assert all(gain.after >= gain.before for gain in result.gains)
    loose = convert(GraphSource(graph), sparsity=0.5, group=4)
    (matrix,) = [matrix for matrix in loose.model.matrices if matrix.name == name]
    assert (dense(matrix)[4:8] == 0).all()


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.75])
def test_strips_together_keep_what_the_matrix_keeps(sparsity):
    random = np.random.default_rng(0)
    weight = (random.random((22, 16)) * random.random((22, 1))).astype(np.float32)
    matrix = RowMatrix("m", weight, 4, sparsity, balanced=True)
    kept, thresholds = matrix.kept()
    each = [matrix.kept_of_strip(strip) for strip in range(len(matrix.starts))]
    assert sum(share for share, _ in each) == pytest.approx(kept, rel=1e-5)
    np.testing.assert_allclose([threshold for _, threshold in each], thresholds, rtol=1e-5)
