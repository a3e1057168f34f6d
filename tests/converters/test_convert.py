"""``convert`` from a source to a file: what is kept, what is refused, and that failures leave nothing behind."""

import dataclasses
import os

import numpy as np
import pytest
from edge_sparse.converters.convert import convert
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.masks import source_masks
from edge_sparse.converters.pruning.magnitude import copy_graph
from edge_sparse.converters.weights import fill_zeros
from graph_builder import GraphBuilder
from graph_source import GraphSource

import edge_sparse
from edge_sparse.errors import (
    ConvertError,
    InputError,
    OutputFileError,
    PruningError,
    UnsupportedOperatorError,
    VerificationError,
)
from edge_sparse.format.packing import dense
from edge_sparse.image import preprocess
from edge_sparse.output_file import write_files


def small(prune=None, seed=0):
    """A stem, a depthwise and two 1x1 convolutions, a 3x3 one, a residual and a linear head."""
    b = GraphBuilder(1, 3, 20, 20, seed=seed)
    x = b.conv("x", 16, 3, stride=2, activation="relu")
    y = b.depthwise(x, activation="relu")
    y = b.conv(y, 32, activation="relu", prune=prune)
    y = b.conv(y, 16, residual=x, prune=prune)
    y = b.conv(y, 24, 3, activation="relu", prune=prune)
    return GraphSource(b.finish(b.linear(b.mean(y), 10)))


def without_biases(source):
    """The same source with an answer that depends on its input."""
    for node in source.graph.nodes:
        if node.op in ("conv", "linear"):
            source.graph.constant(node.inputs[2])[:] = 0
    return source


def rows_of(result):
    return {row.name: row for row in result.layers}


pytestmark = pytest.mark.usefixtures("oracle")


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((1, 3, 20, 20), np.float32)


@pytest.mark.parametrize("group", [2, 4, 8])
def test_zeros_that_exist_are_kept_at_their_group(group, tmp_path, x, vector_kernels):
    source = small(prune=(group, 0.7))
    result = convert(source, output=tmp_path / "m.egs")
    rows = rows_of(result)
    assert {name for name, row in rows.items() if row.sparse} == {"conv2", "conv3", "conv4"}
    for name in ("conv2", "conv3", "conv4"):
        weight = source.graph.constant(next(n for n in source.graph.nodes if n.name == name).inputs[1])
        assert rows[name].pattern == f"gs{group}x1"
        assert rows[name].density == pytest.approx(np.count_nonzero(weight) / weight.size)
        assert rows[name].bytes < rows[name].dense_bytes
    assert result.verification.pruning is None
    (expected,) = source.run({"x": x}).values()
    np.testing.assert_allclose(edge_sparse.load(tmp_path / "m.egs")(x), expected, rtol=1e-4, atol=1e-5)


def test_pruned_model_computes_the_masked_source(tmp_path, x, vector_kernels):
    source = small()
    result = convert(source, output=tmp_path / "m.egs", sparsity=0.5, group="gs8x1", rearrange=False)
    rows = rows_of(result)
    assert [rows[name].pattern for name in ("conv0", "conv1", "conv2", "conv3", "conv4")] == [
        "dense",
        "dense",
        "gs8x1",
        "gs8x1",
        "gs8x1",
    ]
    matrices = {m.name: dense(m) for m in result.model.matrices}
    for node in source.graph.nodes:
        if node.name in ("conv2", "conv3", "conv4"):
            weight = source.graph.constant(node.inputs[1]).transpose(0, 2, 3, 1)
            kept = matrices[node.name].reshape(weight.shape)
            assert np.count_nonzero(kept) == pytest.approx(0.5 * kept.size, abs=8)
            assert np.array_equal(kept, np.where(kept, weight, 0))
    assert np.count_nonzero(matrices["conv0"]) == 16 * 27
    assert result.verification.pruning.max_error > 1e-3 > result.verification.conversion.max_error
    assert result.path.stat().st_size == result.bytes < result.dense_bytes
    with result.session() as session:
        assert session(x).shape == (1, 10)


@pytest.mark.parametrize("pattern", ["tap", "kernel"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_rearranged_and_pruned_model_is_verified(scope, pattern):
    result = convert(small(), sparsity=0.6, group=4, scope=scope, pattern=pattern, rearrange=True)
    assert result.gains
    assert all(gain.after >= gain.before for gain in result.gains)
    assert any(gain.after > gain.before for gain in result.gains)
    assert result.verification.conversion.relative_error < 1e-5


def test_layers_for_which_sparse_is_slower_keep_all_weights():
    result = convert(small(), sparsity=0.3, group=1, rearrange=False)
    row = rows_of(result)["conv2"]
    assert not row.sparse
    assert row.density == 1
    assert "too few zeros to pay" in row.reason
    assert np.count_nonzero(next(dense(m) for m in result.model.matrices if m.name == "conv2")) == 32 * 16


def test_overrides_choose_per_layer():
    overrides = {"conv2": "dense", "conv[34]": {"sparsity": 0.75, "group": "gs2x1"}}
    rows = rows_of(convert(small(), sparsity=0.5, overrides=overrides))
    assert not rows["conv2"].sparse
    assert (rows["conv3"].pattern, rows["conv4"].pattern) == ("gs2x1", "gs2x1")
    assert rows["conv3"].density == pytest.approx(0.25, abs=0.01)


def test_zeros_of_a_layer_that_is_left_alone_are_kept_too():
    rows = rows_of(convert(small(prune=(4, 0.7)), sparsity=0.5, overrides={"conv3": "dense"}, rearrange=False))
    assert rows["conv3"].pattern == "gs4x1"
    assert rows["conv3"].reason == "zeros found as gs4x1"


def test_weights_that_are_no_parameters_are_not_pruned():
    source = small()
    name = source.graph.nodes[2].inputs[1]
    source.graph.values[name] = dataclasses.replace(source.graph.values[name], origin="")
    row = rows_of(convert(source, sparsity=0.5))["conv2"]
    assert row.density == 1
    assert "not a parameter" in row.reason


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        convert(small(), output=tmp_path / name, sparsity=0.5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("dtype", ["f16", "s8", "s4"])
def test_smaller_weights_are_rounded_and_the_rounding_is_told_apart(dtype, tmp_path):
    full = convert(small(), sparsity=0.5, rearrange=False)
    result = convert(small(), output=tmp_path / "m.egs", sparsity=0.5, rearrange=False, dtype=dtype)
    assert result.bytes < full.bytes
    assert result.verification.conversion.relative_error < 1e-5 < result.verification.rounding.relative_error
    assert any("slow" in warning for warning in result.warnings) == (dtype != "f16")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad, tmp_path):
    source = small()
    source.graph.constant(source.graph.nodes[3].inputs[1])[0, 0] = bad
    with pytest.raises(ConvertError, match="WEIGHTS_NOT_FINITE") as caught:
        convert(source, output=tmp_path / "m.egs")
    assert source.graph.values[source.graph.nodes[3].inputs[1]].origin in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_subnormal_weights_become_zero_and_are_counted():
    source = small()
    source.graph.constant(source.graph.nodes[3].inputs[1])[:2, 0] = 1e-40
    result = convert(source)
    assert result.flushed == 2
    assert "2 weights" in result.warnings[0]


def test_weights_too_large_for_half_precision_are_refused():
    source = small()
    source.graph.constant(source.graph.nodes[3].inputs[1])[0, 0] = 1e6
    with pytest.raises(ConvertError, match=r"(?s)WEIGHTS_OVERFLOW.*conv3"):
        convert(source, dtype="f16")


def test_an_existing_file_is_untouched_unless_asked(tmp_path):
    path = tmp_path / "m.egs"
    path.write_bytes(b"precious")
    with pytest.raises(OutputFileError, match="OUTPUT_EXISTS"):
        convert(small(), output=path)
    assert path.read_bytes() == b"precious"
    convert(small(), output=path, overwrite=True)
    assert path.read_bytes() != b"precious"


def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    stages = []
    for options in (
        {"output": tmp_path / "none" / "m.egs"},
        {"output": tmp_path},
        {"output": tmp_path / "m.json", "report": tmp_path / "m.html"},
    ):
        with pytest.raises(OutputFileError):
            convert(small(), progress=lambda *args: stages.append(args), **options)
    assert not stages


@pytest.mark.parametrize("stage", ["select", "verify", "measure", "write"])
def test_an_interrupt_leaves_no_file(stage, tmp_path):
    def interrupt(now, done, total):
        if now == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(small(), output=tmp_path / "m.egs", report=tmp_path / "r.html", sparsity=0.5, progress=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_files_appear_together_or_not_at_all(failing, tmp_path, monkeypatch):
    (tmp_path / "b").write_bytes(b"old")
    contents = {tmp_path / name: name.encode() for name in "abc"}
    real, calls = os.fsync, iter(range(10))

    def full_disk(descriptor):
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OutputFileError, match="OUTPUT_DISK_FULL") as error:
            write_files(contents, overwrite=True)
    assert str(tmp_path / "abc"[failing]) in error.value.message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"old"}
    with pytest.raises(OutputFileError, match="OUTPUT_EXISTS"):
        write_files(contents, overwrite=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"old"}
    write_files(contents, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"a", "b": b"b", "c": b"c"}


def test_a_dry_run_lists_the_layers_and_writes_nothing(tmp_path):
    result = convert(small(), output=tmp_path / "m.egs", sparsity=0.5, report=tmp_path / "r.html", dry_run=True)
    assert not list(tmp_path.iterdir())
    assert result.path is None
    assert result.verification is None
    assert "nothing written" in str(result)
    assert "gs4x1" in result.table()


def test_a_dry_run_finds_operators_without_a_rule():
    b = GraphBuilder(1, 3, 8, 8)
    source = GraphSource(b.finish(b.same("twist", b.conv("x", 4))))
    with pytest.raises(UnsupportedOperatorError, match="twist"):
        convert(source, dry_run=True)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"group": 4}, PruningError, "SPARSITY_MISSING"),
        ({"overrides": {"conv2": "dense"}}, PruningError, "SPARSITY_MISSING"),
        ({"sparsity": 80}, PruningError, "SPARSITY_RANGE"),
        ({"sparsity": 0.5, "group": "gs3x1"}, PruningError, "GROUP_UNKNOWN"),
        ({"sparsity": 0.5, "overrides": {"conv2": 3}}, PruningError, "OVERRIDE_INVALID"),
        ({"sparsity": 0.5, "overrides": {"head*": "dense"}}, PruningError, "OVERRIDE_UNMATCHED"),
        ({"dtype": "f8"}, ConvertError, "dtype"),
        ({"layout": "nchw"}, ConvertError, "layout"),
        ({"labels": "no/such/file"}, ConvertError, "LABELS_UNREADABLE"),
        ({"image": {"height": 20, "width": 21}}, ConvertError, "IMAGE_INVALID"),
        ({"image": {"size": 20}}, ConvertError, "IMAGE_INVALID"),
        ({"batch": 2}, ConvertError, "BATCH_FIXED"),
        ({"max_drop": 2}, InputError, "MAX_DROP_RANGE"),
        ({"verify_inputs": np.zeros((2, 3, 9, 9), np.float32)}, InputError, "VERIFY_INPUTS"),
        ({"verify_inputs": "no/such.npz"}, InputError, "VERIFY_INPUTS"),
    ],
)
def test_bad_options_name_what_is_wrong(options, error, text):
    with pytest.raises(error, match=text):
        convert(small(), **options)


@pytest.mark.parametrize("given", [{}, {"mean": [0.5]}, {"std": [0.25]}, {"mean": [0.5], "std": [0.25]}])
def test_grey_images_have_one_number_per_default(given, tmp_path):
    b = GraphBuilder(1, 1, 16, 16)
    source = GraphSource(b.finish(b.linear(b.mean(b.conv("x", 8, 3, activation="relu")), 10)))
    convert(source, output=tmp_path / "m.egs", image={"height": 16, "width": 16, "channels": 1, **given})
    record = edge_sparse.load(tmp_path / "m.egs").model.image
    assert (record.channels, record.mean, record.std) == (
        1,
        tuple(given.get("mean", [0.0])),
        tuple(given.get("std", [1.0])),
    )
    pytest.importorskip("PIL", reason="needs Pillow: edge_sparse[image]")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    expected = (pixels.astype(np.float32) / 255 - record.mean[0]) / record.std[0]
    np.testing.assert_allclose(preprocess(pixels, record)[0, 0], expected, rtol=1e-6, atol=1e-7)


def test_means_that_do_not_fit_the_channels_are_refused():
    image = {"height": 20, "width": 20, "mean": [0.5]}
    with pytest.raises(ConvertError, match="IMAGE_INVALID"):
        convert(small(), image=image)


def test_records_are_in_the_file(tmp_path):
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(f"class {i}" for i in range(10)), "utf-8")
    image = {"height": 20, "width": 20, "resize": 24, "mean": [0.5] * 3, "std": [0.25] * 3}
    path = tmp_path / "m.egs"
    result = convert(small(), output=path, sparsity=0.5, rearrange=False, labels=names, image=image)
    model = edge_sparse.load(path).model
    assert model.labels[9] == "class 9"
    assert model.image.std == (0.25,) * 3
    assert model.metadata["options"] == {"sparsity": 0.5}
    assert not result.warnings
    assert str(tmp_path) not in str(model.metadata)
    assert "3 labels" in convert(small(), labels=["a", "b", "c"]).warnings[0]


def test_masks_lie_in_the_order_of_the_source():
    b = GraphBuilder(1, 4, 5, 5)
    graph = GraphSource(b.finish(b.conv("x", 6))).graph
    weight = graph.nodes[0].inputs[1]
    order = (np.array([3, 1, 5, 0, 2, 4]), np.array([2, 0, 3, 1]), None, None)
    moved, pruned = copy_graph(graph), copy_graph(graph)
    data = graph.constant(weight)[np.ix_(order[0], order[1])]
    zeroed = data.copy()
    zeroed[0, 1] = zeroed[4, 2] = 0
    moved.values[weight] = dataclasses.replace(graph.values[weight], data=data)
    pruned.values[weight] = dataclasses.replace(graph.values[weight], data=zeroed)
    (mask,) = source_masks(moved, pruned, {weight: order}).values()
    assert [tuple(at) for at in np.argwhere(~mask[..., 0, 0])] == [(2, 3), (3, 0)]


def test_a_shared_parameter_that_is_pruned_twice_is_refused():
    b = GraphBuilder(1, 8, 5, 5)
    first = b.conv("x", 8)
    graph = b.finish(b.conv(first, 8))
    graph.nodes[1].inputs[1] = graph.nodes[0].inputs[1]
    source = GraphSource(graph)
    assert convert(source, sparsity=0.5, rearrange=False).verification.conversion.relative_error < 1e-5
    with pytest.raises(ConvertError, match="WEIGHT_SHARED"):
        convert(source, sparsity=0.5, rearrange=False, overrides={"conv0": {"group": 2}})


def test_fill_zeros_leaves_no_zero():
    graph = fill_zeros(small(prune=(4, 0.5)).graph)
    assert isinstance(graph, Graph)
    assert all(graph.constant(node.inputs[1]).all() for node in graph.nodes if node.op in ("conv", "linear"))


def test_without_verification_the_file_is_still_written(tmp_path):
    result = convert(small(), output=tmp_path / "m.egs", verify=False)
    assert result.verification is None
    assert result.path.exists()
    assert "not verified" in str(result)


def test_max_drop_refuses_a_file(tmp_path):
    options = {"sparsity": 0.85, "rearrange": False}
    inputs = np.random.default_rng(0).standard_normal((32, 3, 20, 20), np.float32)
    result = convert(without_biases(small()), verify_inputs=inputs, **options)
    assert result.verification.given_inputs
    moved = 1 - result.verification.pruning.top1_agreement
    assert result.verification.pruning.samples == 32
    assert moved > 0.1
    with pytest.raises(VerificationError, match="MAX_DROP"):
        convert(
            without_biases(small()), output=tmp_path / "m.egs", verify_inputs=inputs, max_drop=moved - 0.05, **options
        )
    assert not list(tmp_path.iterdir())
    convert(without_biases(small()), output=tmp_path / "m.egs", verify_inputs=inputs, max_drop=moved, **options)
