"""Whole networks survive the file: same bytes again, same results, smaller than dense, written atomically."""

import os

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder
from test_lower import NETWORKS

from edge_sparse import Session, load
from edge_sparse.errors import FileFormatError, OutputFileError
from edge_sparse.format.reader import parse_model
from edge_sparse.format.writer import model_bytes, write_model
from edge_sparse.plan import DType


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
