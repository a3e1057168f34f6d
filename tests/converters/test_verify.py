"""Verification finds what is wrong, names the layer, and lets nothing through that the outputs would hide."""

import dataclasses

import numpy as np
import pytest
from edge_sparse.converters import convert as convert_module
from edge_sparse.converters.comparison import compare, relative_error
from edge_sparse.converters.convert import convert
from edge_sparse.converters.layer_errors import Truncation, layer_errors
from edge_sparse.converters.lowering import convolution, emit
from edge_sparse.converters.options import ConvertOptions
from edge_sparse.converters.passes import optimise
from edge_sparse.converters.selection import select
from edge_sparse.converters.verify import masked_source
from edge_sparse.converters.verify_inputs import random_batches, read_batches
from graph_builder import GraphBuilder
from graph_source import GraphSource

from edge_sparse.errors import InputError, VerificationError
from edge_sparse.plan import DType
from edge_sparse.session import Port


def network(batch=1):
    """Two branches that join, so that the order of execution is not a chain."""
    b = GraphBuilder(batch, 3, 16, 16)
    x = b.conv("x", 16, 3, activation="relu")
    left = b.conv(x, 16, activation="hardswish")
    right = b.conv(b.depthwise(x, activation="relu"), 16)
    y = b.conv(b.concat(left, right), 24, residual=None, activation="silu")
    graph = b.finish(b.linear(b.mean(b.same("mul", y, y)), 7))
    for node in graph.nodes:
        node.source = f"net.{node.name} (net.py:{10 + graph.nodes.index(node)})"
    return GraphSource(graph)


pytestmark = pytest.mark.usefixtures("oracle")


def corrupt(monkeypatch, layer, change):
    """Let every lowering spoil the weights of one layer."""
    real = convolution.pack_dense

    def spoiled(name, weights, group, **options):
        if name == layer:
            weights = weights.copy()
            change(weights)
        return real(name, weights, group, **options)

    monkeypatch.setattr(convolution, "pack_dense", spoiled)


def one_weight(weights):
    weights[3, 2] += 0.05


@pytest.mark.parametrize("layer", ["conv0", "conv1", "conv3", "conv5", "linear8"])
@pytest.mark.parametrize("sparsity", [None, 0.5])
def test_the_first_wrong_layer_is_named(layer, sparsity, monkeypatch, tmp_path):
    corrupt(monkeypatch, layer, one_weight)
    with pytest.raises(VerificationError) as caught:
        convert(network(), output=tmp_path / "m.egs", sparsity=sparsity)
    assert caught.value.code == "VERIFY_MISMATCH"
    assert caught.value.exit_code == 7
    assert f" {layer} (net.{layer} (net.py:" in caught.value.message
    assert not list(tmp_path.iterdir())


def test_a_wrong_layer_is_named_when_its_weights_are_rounded_too(monkeypatch):
    corrupt(monkeypatch, "conv3", one_weight)
    with pytest.raises(VerificationError, match=r"first wrong layer is conv conv3"):
        convert(network(), dtype="s8")


def test_an_error_that_the_outputs_hide_is_found(monkeypatch):
    """Weights near zero before a large bias: the outputs do not move, but the layers are compared too."""
    source = network()
    head = source.graph.nodes[-1]
    source.graph.constant(head.inputs[1])[:] *= 1e-9
    errors = convert(source).verification.layer_errors
    assert set(errors) == {node.name for node in source.graph.nodes}
    assert max(errors.values()) < 1e-5
    corrupt(monkeypatch, "conv1", one_weight)
    with pytest.raises(VerificationError, match=r"first wrong layer is conv conv1"):
        convert(source)


def test_bytes_that_hold_something_else_than_was_lowered_are_found(monkeypatch, tmp_path, vector_kernels):
    real = convert_module.parse_model

    def altered(data):
        model = real(data)
        first, *rest = model.matrices
        return dataclasses.replace(model, matrices=(dataclasses.replace(first, values=first.values * 1.01), *rest))

    monkeypatch.setattr(convert_module, "parse_model", altered)
    with pytest.raises(VerificationError, match="the fault lies in the bytes or in the memory plan"):
        convert(network(), output=tmp_path / "m.egs")
    assert not list(tmp_path.iterdir())


def test_memory_that_is_reused_too_early_is_found(monkeypatch):
    """The shortcut is overwritten before the residual reads it; no step alone shows that."""
    real = emit.plan_memory

    def overlapping(*arguments):
        plan = real(*arguments)
        place = {root.name: number for root, number in plan.numbers.items()}
        allocations = list(plan.allocations)
        if "conv2.out" in place:
            offset = allocations[place["conv0.out"]].offset
            allocations[place["conv2.out"]] = dataclasses.replace(allocations[place["conv2.out"]], offset=offset)
        return dataclasses.replace(plan, allocations=tuple(allocations))

    monkeypatch.setattr(emit, "plan_memory", overlapping)
    b = GraphBuilder(1, 3, 16, 16)
    x = b.conv("x", 8)
    y = b.conv(b.conv(b.conv(x, 8), 8), 8)
    source = GraphSource(b.finish(b.conv(y, 8, residual=x)))
    with pytest.raises(VerificationError, match="VERIFY_MISMATCH"):
        convert(source)


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
def test_layer_errors_of_a_rearranged_model_are_small(dtype):
    source = network()
    selection = select(optimise(source.graph), ConvertOptions(sparsity=0.5, rearrange=True))
    assert any(order is not None for orders in selection.orders.values() for order in orders)
    masked = masked_source(source, selection)
    arrays = {"x": np.random.default_rng(0).standard_normal((1, 3, 16, 16), np.float32)}
    errors = layer_errors(Truncation(masked, selection, "chw", dtype, "numba", arrays))
    assert set(errors) == {node.name for node in selection.graph.nodes}
    assert max(errors.values()) < (1e-5 if dtype is DType.F32 else 1e-2)
    unmasked = layer_errors(Truncation(source, selection, "chw", dtype, "numba", arrays))
    assert max(unmasked.values()) > 0.05


@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_at_least_eight_random_samples(batch):
    result = convert(network(batch))
    assert result.verification.conversion.samples >= 8
    assert result.verification.conversion.samples % batch == 0


PORT = Port("x", (2, 3, 4, 4), np.dtype(np.float32), "nchw")
OTHER = Port("m", (2, 5), np.dtype(np.float32), "rows")


def test_random_batches_are_the_same_everywhere():
    first, again = random_batches([PORT, OTHER]), random_batches([PORT, OTHER])
    assert len(first) == 4
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(first, again, strict=True) for k in ("x", "m"))
    assert not np.array_equal(first[0]["x"], first[1]["x"])


def test_given_inputs_are_cut_into_batches(tmp_path):
    x = np.arange(6 * 48, dtype=np.float32).reshape(6, 3, 4, 4)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", anything=x)
    for given in (x, [x[:2], x[2:]], {"x": x}, x.astype(np.float64), tmp_path / "x.npy", str(tmp_path / "x.npz")):
        batches = read_batches([PORT], given)
        assert np.array_equal(np.concatenate([batch["x"] for batch in batches]), x)
        assert len(batches) == 3
    m = np.ones((6, 5), np.float32)
    assert [batch["m"].shape for batch in read_batches([PORT, OTHER], (x, m))] == [(2, 5)] * 3


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((3, 3, 4, 4), np.float32),
        np.zeros((0, 3, 4, 4), np.float32),
        np.zeros((2, 3, 4), np.float32),
        np.float32(1),
        [],
        {"y": np.zeros((2, 3, 4, 4), np.float32), "z": np.zeros(1)},
        [np.zeros((2, 3, 4, 4), np.float32), np.zeros((2, 3, 5, 5), np.float32)],
        [[1, 2], [3]],
        np.array(["a", "b"]),
    ],
)
def test_given_inputs_that_do_not_fit_are_refused(given):
    with pytest.raises(InputError):
        read_batches([PORT], given)


def test_inputs_of_different_length_are_refused():
    with pytest.raises(InputError, match="different numbers"):
        read_batches([PORT, OTHER], [np.zeros((4, 3, 4, 4), np.float32), np.zeros((2, 5), np.float32)])


def test_pickled_inputs_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="pickle"):
        read_batches([PORT], tmp_path / "x.npy")


def test_comparison_counts_the_largest_difference_over_all_batches():
    expected = [{"y": np.array([[1.0, 2.0]])}, {"y": np.array([[8.0, 0.0]])}]
    found = [{"y": np.array([[1.0, 2.5]])}, {"y": np.array([[0.5, 1.0]])}]
    result = compare(expected, found, 2)
    assert (result.max_error, result.relative_error) == (7.5, 7.5 / 8)
    assert result.top1_agreement == 0.5


def test_numbers_that_are_not_finite_never_pass():
    ones = np.ones((1, 3))
    assert relative_error(ones, np.array([[1, 1, np.nan]])) == (float("inf"), float("inf"))
    with pytest.raises(VerificationError, match="SOURCE_NOT_FINITE"):
        compare([{"y": np.array([[np.inf, 0]])}], [{"y": np.array([[np.inf, 0]])}], 1)


def test_outputs_without_classes_have_no_agreement():
    vector = [{"y": np.ones(3)}]
    assert compare(vector, vector, 1).top1_agreement is None
    b = GraphBuilder(1, 3, 8, 8)
    source = GraphSource(b.finish(b.conv("x", 1)))
    with pytest.raises(InputError, match="max_drop"):
        convert(source, sparsity=0.5, max_drop=0.1, rearrange=False, overrides={"conv0": {"sparsity": 0.5, "group": 1}})
