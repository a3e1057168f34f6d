"""A tiny decoder goes through a file and runs on the reference backend, token by token and in chunks."""

import numpy as np
import pytest
from tiny_decoder import CAPACITY, CHUNK, VOCABULARY, tiny_decoder, twin

from edge_sparse import Session, load
from edge_sparse.errors import InputError
from edge_sparse.format.reader import parse_model
from edge_sparse.format.writer import model_bytes, write_model
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.plan import DType

TOKENS = [int(token) for token in np.random.default_rng(3).integers(0, VOCABULARY, CAPACITY)]


def run(session, tokens, position):
    return session.run({"ids": np.array(tokens, np.int32), "position": np.array([position], np.int32)})["logits"][0]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("decoder") / "tiny.egs"
    write_model(tiny_decoder(), path)
    return path


def test_token_by_token_equals_the_twin(path):
    session = load(path, backend="reference")
    logits = [run(session, [token], position) for position, token in enumerate(TOKENS)]
    np.testing.assert_allclose(logits, twin(session.model, TOKENS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(CHUNK, CHUNK), (5, 1, 1, 4), (1, 6, 3)])
def test_chunks_equal_the_twin(path, sizes):
    session, position = load(path, backend="reference"), 0
    expected = twin(session.model, TOKENS)
    for size in sizes:
        logits = run(session, TOKENS[position : position + size], position)
        position += size
        np.testing.assert_allclose(logits, expected[position - 1], rtol=1e-4, atol=1e-5)


def test_the_embedding_is_stored_once():
    model = tiny_decoder()
    data = model_bytes(model)
    table = next(matrix for matrix in model.matrices if matrix.name == "embedding")
    assert data.count(table.values.tobytes()) == 1
    assert parse_model(data).tokenizer == model.tokenizer


@pytest.mark.parametrize(
    ("tokens", "position", "code"),
    [
        ([VOCABULARY], 0, "TOKEN_RANGE"),
        ([-1], 0, "TOKEN_RANGE"),
        ([1], CAPACITY, "POSITION_RANGE"),
        ([1, 2], CAPACITY - 1, "POSITION_RANGE"),
        ([1], -1, "POSITION_RANGE"),
        ([1] * (CHUNK + 1), 0, "INPUT_SHAPE"),
    ],
)
def test_wrong_tokens_are_named(path, tokens, position, code):
    with pytest.raises(InputError) as error:
        run(load(path, backend="reference"), tokens, position)
    assert error.value.code == code


@pytest.mark.parametrize("cache", [None, DType.F32, DType.F16, DType.S8])
def test_numba_equals_the_reference(cache):
    model = tiny_decoder()
    if cache is not None:
        model = with_attention(model, ExactAttention(cache), 32)
    sessions = [Session.from_model(model, backend=backend) for backend in ("numba", "reference")]
    position = 0
    for size in (5, 1, 1, CHUNK, 3):
        tokens = TOKENS[position : position + size]
        found, expected = (run(session, tokens, position) for session in sessions)
        position += size
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
