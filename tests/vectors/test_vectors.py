"""The conformance vectors: valid files compute what is stored beside them, invalid ones give exactly their code."""

import re
from pathlib import Path

import numpy as np
import pytest
from invalid_files import invalid_files
from make_vectors import FOLDER, arrays, valid_files

import edge_sparse.format
from edge_sparse import Session
from edge_sparse.backends.base import available_backends
from edge_sparse.errors import FileFormatError
from edge_sparse.format.column_index import encode_columns
from edge_sparse.format.reader import parse_model, read_model
from edge_sparse.format.spec import IndexEncoding
from edge_sparse.plan import DType, Layout, Op, Storage

VALID = sorted((FOLDER / "valid").glob("*.egs"))
INVALID = sorted((FOLDER / "invalid").glob("*.egs"))
#: Codes that no file can give.
WITHOUT_FILE = {"FILE_NOT_FOUND", "FILE_UNREADABLE"}


def runs(path):
    """Return {(plan, run): (inputs, outputs)} of a valid vector."""
    result = {}
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        for name in stored.files:
            plan, run, side, tensor = name.split("/", 3)
            result.setdefault((plan, int(run)), ({}, {}))[side == "out"][tensor] = stored[name]
    return result


@pytest.mark.parametrize("backend", ["reference", "numba", "native"])
@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_files_compute_what_is_stored(path, backend):
    status = available_backends()[backend]
    if not status.available:
        pytest.skip(f"{backend}: {status.detail}")
    model = read_model(path)
    sessions = {}
    for (plan, _), (inputs, outputs) in sorted(runs(path).items()):
        if plan not in sessions:
            sessions[plan] = Session.from_model(model, backend=backend, plan=plan)
        result = sessions[plan].run(inputs)
        assert set(result) == set(outputs)
        for name, expected in outputs.items():
            np.testing.assert_allclose(result[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_files_give_their_code(path):
    with pytest.raises(FileFormatError) as error:
        read_model(path)
    assert error.value.code == path.name.split(".")[0]
    assert error.value.hint
    assert path.name in error.value.message


def test_every_rule_has_an_invalid_file():
    prefixes = {path.name.split("_")[0] for path in INVALID}
    codes = set()
    for source in Path(edge_sparse.format.__path__[0]).glob("*.py"):
        found = re.findall(r'"([A-Z]+(?:_[A-Z0-9]+)+)"', source.read_text())
        codes |= {code for code in found if code.split("_")[0] in prefixes}
    codes -= {"MATRIX_LIMIT", "IMAGE_RULES", "SECTION_LIMIT", "DIRECTORY_ENTRY"}
    assert codes - WITHOUT_FILE == {path.name.split(".")[0] for path in INVALID}


def test_valid_files_cover_the_format():
    models = [parse_model(path.read_bytes()) for path in VALID]
    plans = [plan for model in models for plan in model.plans]
    matrices = [matrix for model in models for matrix in model.matrices]
    tensors = [tensor for model in models for tensor in model.tensors]
    encodings = {encode_columns(m)[0] for m in matrices}
    assert {step.op for plan in plans for step in plan.steps} == set(Op)
    assert {matrix.dtype for matrix in matrices} == {DType.F32, DType.F16, DType.S8, DType.S4, DType.TERNARY}
    assert encodings == set(IndexEncoding)
    assert {tensor.layout for tensor in tensors} == set(Layout)
    assert {tensor.storage for tensor in tensors} == set(Storage)
    assert any(len(matrix.bands) > 2 for matrix in matrices)
    assert any(not matrix.counts.any() for matrix in matrices)
    assert any(matrix.counts.any() and not matrix.counts.all() for matrix in matrices)
    assert any(matrix.segment for matrix in matrices)
    assert any(tensor.border for tensor in tensors)
    assert {plan.symbol for plan in plans} == {"", "tokens"}
    assert {model.tokenizer.kind for model in models if model.tokenizer} == {1, 2, 3}
    assert any(model.image and model.labels and model.metadata for model in models)


def test_the_script_makes_these_files():
    assert {path.stem: path.read_bytes() for path in VALID} == valid_files()
    assert {path.name.removesuffix(".egs"): path.read_bytes() for path in INVALID} == invalid_files()


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_script_makes_these_arrays(path):
    made = arrays(parse_model(path.read_bytes()))
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        assert set(stored.files) == set(made)
        for name, array in made.items():
            np.testing.assert_allclose(stored[name], array, rtol=1e-5, atol=1e-6)


def test_vectors_stay_small():
    sizes = [path.stat().st_size for folder in ("valid", "invalid") for path in (FOLDER / folder).iterdir()]
    assert max(sizes) < 24 * 1024
    assert sum(sizes) < 1_000_000
