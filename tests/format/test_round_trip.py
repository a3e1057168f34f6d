"""Whole networks survive the file: same bytes again, same results, smaller than dense, written atomically."""

import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder
from hypothesis import given
from hypothesis import strategies as st
from test_lower import NETWORKS
from tiny_decoder import NO_ACTIVATION, POINTWISE, Builder

from edge_sparse import Session, load
from edge_sparse.errors import FileFormatError, OutputFileError
from edge_sparse.format.packing import dense, pack_dense
from edge_sparse.format.reader import parse_model, read_model
from edge_sparse.format.spec import Section
from edge_sparse.format.writer import model_bytes, write_model
from edge_sparse.plan import DType, Model, Op, Plan, Step, Storage, Tokenizer

sys.path.append(str(Path(__file__).parent.parent / "vectors"))
from file_editor import changed


def network(which=0, layout="chw", batch=1, size=(16, 16), dtype=DType.F32):
    builder = GraphBuilder(batch, 3, *size)
    return lower(builder.finish(NETWORKS[which](builder)), {}, layout=layout, value_dtype=dtype)


@pytest.mark.parametrize("size", [(16, 16), (27, 35)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("which", range(len(NETWORKS)))
def test_networks_survive(which, layout, batch, size):
    model = network(which, layout, batch, size)
    data = model_bytes(model)
    read = parse_model(data)
    assert model_bytes(read) == data
    x = np.random.default_rng(1).standard_normal((batch, 3, *size)).astype(np.float32)
    (expected,) = (Session.from_model(model, backend="reference")(x),)
    np.testing.assert_array_equal(Session.from_model(read, backend="reference")(x), expected)
    assert read.metadata == model.metadata
    assert [step.attributes for step in read.plan().steps] == [step.attributes for step in model.plan().steps]


def test_a_file_runs_on_the_vector_kernels(tmp_path):
    model = network(1)
    size = write_model(model, tmp_path / "m.egs")
    assert (tmp_path / "m.egs").stat().st_size == size
    x = np.random.default_rng(1).standard_normal((1, 3, 16, 16)).astype(np.float32)
    expected = Session.from_model(model, backend="reference")(x)
    np.testing.assert_allclose(load(tmp_path / "m.egs")(x), expected, rtol=1e-4, atol=1e-5)


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "m.egs"
    path.write_bytes(b"old")
    with pytest.raises(OutputFileError, match="OUTPUT_EXISTS"):
        write_model(network(), path)

    def broken(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(KeyboardInterrupt):
            write_model(network(), path, overwrite=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.egs"]
    write_model(network(), path, overwrite=True)
    assert os.listdir(tmp_path) == ["m.egs"]
    parse_model(path.read_bytes())


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFileError, match="OUTPUT_DISK_FULL"):
        write_model(network(), tmp_path / "m.egs")
    assert not os.listdir(tmp_path)


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(OutputFileError, match="OUTPUT_FOLDER_MISSING"):
        write_model(network(), tmp_path / "nowhere" / "m.egs")
    for path, code in ((tmp_path / "m.egs", "FILE_NOT_FOUND"), (tmp_path, "FILE_UNREADABLE")):
        with pytest.raises(FileFormatError) as error:
            load(path)
        assert error.value.code == code


@st.composite
def feature_models(draw):
    """A linear layer with a random matrix, and random descriptions."""
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([DType.F32, DType.F16, DType.S8, DType.S4, DType.TERNARY]))
    steps = [0, 8] if dtype is DType.S4 else [0, 4, 8]
    segment = draw(st.sampled_from(steps)) if dtype not in (DType.F32, DType.F16) else 0
    segment = segment if segment < columns + 4 else 0
    random = np.random.default_rng(draw(st.integers(0, 999)))
    weights = random.standard_normal((rows, columns)).astype(np.float32)
    weights[random.random((rows, columns)) < draw(st.floats(0, 1))] = 0
    group = draw(st.sampled_from([1, 2, 4, 8, 16, 32]))
    text = st.text(st.characters(exclude_categories=["C"]), max_size=6)
    pieces = tuple(draw(st.lists(st.binary(max_size=5), min_size=1, max_size=5)))
    kind = draw(st.sampled_from([2, 3]))
    scores = tuple(float(np.float32(score)) for score in random.standard_normal(len(pieces))) if kind == 2 else ()
    merges = ((0, len(pieces) - 1),) if kind == 3 else ()
    model = linear_model(pack_dense(draw(text), weights, group, dtype=dtype, segment=segment))
    return replace(
        model,
        labels=tuple(draw(st.lists(text, max_size=4))),
        tokenizer=draw(st.sampled_from([None, Tokenizer(kind, pieces, scores, merges, -1, 0, len(pieces) - 1)])),
        metadata=draw(st.dictionaries(text, st.one_of(st.integers(), st.floats(allow_nan=False), text, st.none()))),
    )


def linear_model(matrix):
    builder = Builder()
    x = builder.tensor("x", (2, matrix.columns), Storage.INPUT)
    y = builder.tensor("y", (2, matrix.rows), Storage.OUTPUT)
    step = Step(Op.SPMM, "linear", (x,), (y,), {"matrix": 0, **POINTWISE, **NO_ACTIVATION})
    return Model((Plan("main", tuple(builder.tensors), (step,), (x,), (y,), 0),), (matrix,))


@given(feature_models())
def test_all_features_survive(model):
    if any(isinstance(value, float) and not np.isfinite(value) for value in model.metadata.values()):
        with pytest.raises(OutputFileError, match="OUTPUT_MODEL"):
            model_bytes(model)
        return
    data = model_bytes(model)
    read = parse_model(data)
    assert model_bytes(read) == data
    assert read.plans == model.plans
    for name in ("labels", "tokenizer", "metadata"):
        assert getattr(read, name) == getattr(model, name)
    (before,), (after,) = model.matrices, read.matrices
    np.testing.assert_array_equal(dense(after), dense(before))
    for name in ("name", "rows", "columns", "bands", "dtype", "segment"):
        assert getattr(after, name) == getattr(before, name)
    for name in ("counts", "indices", "values"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_a_dense_matrix_costs_a_record_and_nothing_more():
    weights = np.ones((64, 64), np.float32)
    small = len(model_bytes(linear_model(pack_dense("w", weights[:, :1], 8))))
    assert len(model_bytes(linear_model(pack_dense("w", weights, 8)))) - small <= weights.nbytes


def test_equal_weights_are_stored_once():
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    model = linear_model(pack_dense("w", weights, 8))
    twice = replace(model, matrices=(*model.matrices, pack_dense("again", weights.copy(), 8)))
    assert len(model_bytes(twice)) - len(model_bytes(model)) < 200


def test_weights_stay_in_the_map_and_indices_do_not(tmp_path):
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    weights[:, ::3] = 0
    write_model(linear_model(pack_dense("w", weights, 8)), tmp_path / "m.egs")
    (matrix,) = read_model(tmp_path / "m.egs").matrices
    assert not matrix.values.flags.owndata
    assert not matrix.values.flags.writeable
    assert matrix.indices.base is None or matrix.indices.base.flags.owndata


def test_rejecting_a_file_takes_little_memory():
    data = model_bytes(network())
    claims = [(Section.MATRICES, "rows"), (Section.MATRICES, "columns"), (Section.MATRICES, "band_count")]
    claims += [(Section.PLANS, "step_count"), (Section.PLANS, "input_count"), (Section.BANDS, "rows")]
    for section, name in claims:
        damaged = changed(data, section, 0, **{name: 2**31})
        tracemalloc.start()
        with pytest.raises(FileFormatError):
            parse_model(damaged)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * len(data)
