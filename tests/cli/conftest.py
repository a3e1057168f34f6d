"""A small model file, and the command line run inside the process or as a process of its own."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder

from edge_sparse.cli import main
from edge_sparse.format.writer import write_model
from edge_sparse.plan import ImagePreprocessing

SHAPE = (1, 3, 16, 16)


@dataclasses.dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def small_model(**changes):
    builder = GraphBuilder(*SHAPE)
    x = builder.conv("x", 16, 3, stride=2, activation="relu")
    x = builder.conv(builder.depthwise(x, activation="relu"), 24, prune=(4, 0.6), activation="relu")
    graph = builder.finish(builder.linear(builder.mean(x), 4))
    model = lower(graph, {"conv2": 4})
    values = {
        "labels": ("cat", "dog", "bird", "fish"),
        "image": ImagePreprocessing(16, 16, 3, 18, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)),
        "metadata": {"name": "small", "layout": "chw"},
        **changes,
    }
    return dataclasses.replace(model, **values)


@pytest.fixture(scope="session")
def model():
    return small_model()


@pytest.fixture
def model_file(model, tmp_path):
    path = tmp_path / "small.egs"
    write_model(model, path)
    return path


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture
def cli(capsys):
    """Call ``main`` with words and return exit code, stdout and stderr."""

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def process():
    """Start ``python -m edge_sparse`` with words; more arguments go to Popen."""

    def start(*words, environment=None, **options):
        command = [sys.executable, "-m", "edge_sparse", *map(str, words)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen(command, env={**os.environ, **(environment or {})}, **options)

    return start


@pytest.fixture
def failure(cli):
    """Call ``main``, expect an error, check its form in both languages, and return code and exit code."""

    def call(*words):
        outcome, machine = cli(*words), cli(*words, "--json")
        assert outcome.code == machine.code != 0
        assert "Traceback" not in outcome.err
        error = json.loads(machine.err.splitlines()[-1])["error"]
        assert error["exit_code"] == machine.code
        assert error["message"]
        assert error["hint"], f"{error['code']} names no next step"
        assert f"error [{error['code']}]: " in outcome.err
        assert f"next step: {error['hint'].splitlines()[0]}" in outcome.err
        assert not machine.out
        return error["code"], outcome.code

    return call
