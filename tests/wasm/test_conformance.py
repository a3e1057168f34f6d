"""The conformance vectors, tokens and generated texts through Session, in Node.js and Chromium, by every module."""

import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from replaying import PLACES, array_of, check_texts, packed_array, packed_file, python_texts

from edge_sparse.format.writer import model_bytes
from edge_sparse.llm.attention import DeltaAttention, ExactAttention
from edge_sparse.llm.loading import from_model
from edge_sparse.plan import DType
from edge_sparse.tokenizer import Tokenizer

TESTS = Path(__file__).parents[1]
VECTORS = TESTS / "vectors"
sys.path[:0] = [str(TESTS / "backends" / "native"), str(TESTS / "llm"), str(VECTORS)]

from language_vectors import record_of  # noqa: E402
from native_text import text_model  # noqa: E402

SAMPLING = (
    {"temperature": 0},
    {"temperature": 1, "seed": "5"},
    {"temperature": 0.75, "topP": 0.875, "seed": "7"},
    {"temperature": 1.5, "topK": 40, "minP": 0.03125, "repetitionPenalty": 1.25, "seed": str(2**64 - 1)},
)
PROMPTS = (
    "Once upon a time",
    "Once upon a time, there",
    "Once upon",
    "",
    "Wörld",
    [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8],
)
MODES = {
    "float32": (ExactAttention(DType.F32), {"kvCache": "float32"}),
    "float16": (ExactAttention(DType.F16), {"kvCache": "float16"}),
    "int8": (ExactAttention(DType.S8), {"kvCache": "int8"}),
    "delta": (
        DeltaAttention(0.25, 0.125, 2, DType.F32),
        {"attention": "delta", "theta": 0.25, "window": 0.125, "sinks": 2, "kvCache": "float32"},
    ),
}


@pytest.fixture(params=PLACES)
def replay(request, replay_in):
    """Return a function that runs a function of replay.mjs on cases, in one place."""
    return functools.partial(replay_in, request.param)


@functools.cache
def vector_cases():
    """Return every valid vector as a case, and the outputs of all runs in turn."""
    cases, expected = [], []
    for path in sorted((VECTORS / "valid").glob("*.egs")):
        runs = {}
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            for key in stored.files:
                plan, run, side, name = key.split("/", 3)
                runs.setdefault(plan, {}).setdefault(int(run), {"in": {}, "out": {}})[side][name] = stored[key]
        plans = []
        for plan, by_number in runs.items():
            ordered = [by_number[number] for number in sorted(by_number)]
            inputs = [{name: packed_array(array) for name, array in run["in"].items()} for run in ordered]
            plans.append({"plan": plan, "runs": inputs})
            expected += [(f"{path.stem} {plan}", run["out"]) for run in ordered]
        cases.append({"file": packed_file(path.read_bytes()), "plans": plans})
    return cases, expected


def test_valid_files_compute_what_is_stored(replay):
    cases, expected = vector_cases()
    found = replay("replayRuns", cases)
    assert len(found) == len(expected) > 30
    for outputs, (case, wanted) in zip(found, expected, strict=True):
        assert set(outputs) == set(wanted), case
        for name, value in wanted.items():
            array = array_of(outputs[name])
            assert array.dtype == value.dtype, case
            assert array.shape == value.shape, case
            if value.dtype.kind == "f":
                largest = np.abs(value).max()
                assert np.abs(array - value).max() <= 1e-5 * max(largest, 1e-30), case
            else:
                np.testing.assert_array_equal(array, value)


def test_invalid_files_give_their_code(replay):
    paths = sorted((VECTORS / "invalid").glob("*.egs"))
    # A worker for each of so many takes half a minute, and errors of workers have tests of their own.
    found = replay("replayErrors", [packed_file(path.read_bytes()) for path in paths], worker=False)
    assert len(found) == len(paths) > 200
    wrong = {path.name: error for path, error in zip(paths, found, strict=True) if not _right(path, error)}
    assert not wrong


def _right(path, error):
    return (
        error["code"] == path.name.split(".")[0]
        and error.get("name") == "EdgeSparseError"
        and len(error["message"]) > 10
        and len(error["hint"]) > 10
    )


def test_tokens_are_those_of_the_vectors(replay):
    vectors = json.loads((VECTORS / "tokenization.json").read_text())
    cases = []
    for vector in vectors:
        file = packed_file(model_bytes(text_model(record_of(vector["record"]))))
        cases.append({"file": file, "texts": [case["text"] for case in vector["cases"]]})
    found = replay("replayTokens", cases)
    expected = [{"tokens": case["tokens"], "shown": case["shown"]} for v in vectors for case in v["cases"]]
    assert found == expected


@functools.cache
def text_cases():
    """Return prompts for every kind of attention, and what Python generates from them."""
    model = text_model()
    file, cases, expected = packed_file(model_bytes(model)), [], []
    for mode, attention in MODES.values():
        prompts = [{"prompt": p, "options": {"maxTokens": 16, **sampling}} for sampling in SAMPLING for p in PROMPTS]
        rolling = {"maxTokens": 90, "roll": True, "temperature": 1, "seed": "3"}
        prompts.append({"prompt": PROMPTS[0], "options": rolling})
        cases.append({"file": file, "attention": attention, "prompts": prompts})
        expected += python_texts(from_model(model, mode, backend="reference"), prompts)
    return cases, expected


@functools.cache
def stop_cases():
    """Return generations with stop texts over a vocabulary whose tokens hold parts of them and of characters."""
    cases, expected = [], []
    mode, attention = MODES["float32"]
    for seed in range(6):
        chance = np.random.default_rng(seed)
        pieces = ["".join(chance.choice(list("abc é"), chance.integers(1, 6))).encode() for _ in range(200)]
        pieces += [piece[: len(piece) // 2 + 1] for piece in pieces[:56]]
        stops = ["".join(chance.choice(list("abc é"), chance.integers(1, 5))) for _ in range(seed % 4)]
        model = text_model(Tokenizer(3, tuple(pieces), eos=0, temperature=1.0))
        prompts = [{"prompt": [1, 2, 3], "options": {"maxTokens": 40, "seed": str(seed), "stop": stops}}]
        cases.append({"file": packed_file(model_bytes(model)), "attention": attention, "prompts": prompts})
        expected += python_texts(from_model(model, mode, backend="reference"), prompts)
    return cases, expected


def test_texts_are_those_of_python(replay):
    cases, expected = text_cases()
    check_texts(replay("replayTexts", cases), expected)


def test_stop_texts_and_broken_characters(replay):
    cases, expected = stop_cases()
    assert {result.finish for result in expected} >= {"stop", "length"}
    check_texts(replay("replayTexts", cases), expected)
