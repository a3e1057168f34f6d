"""The summary says what the file holds, and its names cannot steer a terminal."""

import dataclasses

import numpy as np
import pytest
from conftest import small_model

import edge_sparse
from edge_sparse.format.packing import dense
from edge_sparse.format.writer import write_model
from edge_sparse.summary import summarise


def test_the_table_of_layers(cli, model_file, model):
    outcome = cli("inspect", model_file)
    assert outcome.code == 0
    assert "input x: float32 (1, 3, 16, 16) nchw" in outcome.out
    assert "labels: 4 (cat, dog, bird, fish)" in outcome.out
    assert "shorter side to 18, centre 16 x 16, RGB" in outcome.out
    lines = {line.split()[0]: line.split() for line in outcome.out.splitlines() if line}
    sparse = next(matrix for matrix in model.matrices if matrix.density < 1)
    kept = (dense(sparse) != 0).mean()
    assert "gs4x1" in " ".join(lines["conv2"])
    assert f"{kept:.1%}" in lines["conv2"]
    assert lines["total"]


def test_the_totals_add_up(cli, model_file, model):
    document = cli("inspect", model_file, "--json").json
    matrices = document["summary"]["matrices"]
    assert document["totals"]["matrix_bytes"] == sum(matrix["bytes"] for matrix in matrices)
    assert document["totals"]["dense_bytes"] == 4 * sum(matrix.rows * matrix.columns for matrix in model.matrices)
    weights = [dense(matrix) for matrix in model.matrices]
    kept = sum((weight != 0).sum() for weight in weights) / sum(weight.size for weight in weights)
    assert document["totals"]["density"] == pytest.approx(kept)
    assert document["summary"]["file_bytes"] == model_file.stat().st_size
    # What is not weights is small: the matrices and constants explain the file up to records and padding.
    explained = document["totals"]["matrix_bytes"] + document["summary"]["constant_bytes"]
    assert explained < document["summary"]["file_bytes"] < explained + 16384


def test_steps_and_tensors(cli, model_file, model):
    steps = cli("inspect", model_file, "--steps").out
    tensors = cli("inspect", model_file, "--tensors").out
    for step in model.plan().steps:
        assert step.name in steps
    for tensor in model.tensors:
        assert tensor.name in tensors
    document = cli("inspect", model_file, "--json").json
    assert [step["name"] for step in document["steps"]["main"]] == [step.name for step in model.plan().steps]
    assert len(document["tensors"]) == len(model.tensors)


EVIL = "\x1b]0;owned\x07\x1b[2J[red]\u202egs.evil"


@pytest.mark.parametrize("view", ["--matrices", "--steps", "--tensors"])
def test_names_cannot_steer_the_terminal(cli, model_file, monkeypatch, view):
    """The reader refuses control characters in names; the command line must not rely on it."""
    model = small_model(labels=(EVIL,), metadata={EVIL: EVIL})
    plan = model.plan()
    steps = tuple(dataclasses.replace(step, name=EVIL) for step in plan.steps)
    tensors = tuple(dataclasses.replace(tensor, name=EVIL + str(n)) for n, tensor in enumerate(plan.tensors))
    matrices = tuple(dataclasses.replace(matrix, name=EVIL) for matrix in model.matrices)
    plan = dataclasses.replace(plan, steps=steps, tensors=tensors)
    evil = dataclasses.replace(model, plans=(plan,), matrices=matrices)
    monkeypatch.setattr("edge_sparse.format.reader.read_model", lambda _path: evil)
    outcome = cli("inspect", model_file, view)
    assert outcome.code == 0
    assert "\\x1b]0;owned\\x07" in outcome.out
    assert "[red]" in outcome.out
    for character in "\x1b\x07\u202e":
        assert character not in outcome.out + outcome.err
    machine = cli("inspect", model_file, "--json")
    assert machine.out.isascii()
    assert machine.json["summary"]["labels"] == [EVIL]


def test_text_that_a_file_may_hold_is_shown_safely(cli, tmp_path):
    write_model(small_model(labels=("\u202egs.evil", "[red]"), metadata={EVIL: [EVIL]}), tmp_path / "evil.egs")
    outcome = cli("inspect", tmp_path / "evil.egs")
    assert outcome.code == 0
    assert "\\u202egs.evil, [red]" in outcome.out
    for character in "\x1b\x07\u202e":
        assert character not in outcome.out


def test_the_summary_from_python(model_file, model):
    summary = edge_sparse.inspect(model_file)
    expected = summarise(model, model_file.stat().st_size)
    # The file holds the image record in float32.
    assert dataclasses.replace(summary, image=None) == dataclasses.replace(expected, image=None)
    np.testing.assert_allclose(summary.image.mean, expected.image.mean, rtol=1e-6)
