"""Language models of the C core with the tokenizers of the tests."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from edge_sparse.converters.decoder.random_model import random_model

from edge_sparse.backends.native.library import load_library
from edge_sparse.errors import BackendError

sys.path.insert(0, str(Path(__file__).parents[2] / "llm"))
sys.path.insert(0, str(Path(__file__).parents[2] / "vectors"))
from small_decoder import BYTES, CHUNK, CONFIG, CONTEXT

__all__ = ["BYTES", "CHUNK", "CONTEXT", "TESTS", "native_text", "text_model"]

TESTS = Path(__file__).parents[2]


@functools.cache
def _weights(vocabulary):
    config = replace(CONFIG, vocab=vocabulary)
    return random_model(config, dtype="f32", chunk=CHUNK, context=CONTEXT, seed=4)


def text_model(tokenizer=BYTES, vocabulary=256):
    """Return a small decoder with a tokenizer, and room in its vocabulary for it."""
    pieces = len(tokenizer.pieces) if tokenizer else 0
    return replace(_weights(max(vocabulary, pieces)), tokenizer=tokenizer)


def native_text(tokenizer=BYTES, **options):
    """Return the C core's language model of a small decoder, or skip the test."""
    try:
        load_library()
    except BackendError as error:
        pytest.skip(error.args[0])
    from text_api import NativeText

    return NativeText(text_model(tokenizer), **options)
