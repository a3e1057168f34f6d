"""A decoder of two layers over bytes with random weights, and the slow way to use it."""

import functools
from dataclasses import replace

import numpy as np
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies
from edge_sparse.converters.decoder.random_model import random_model

from edge_sparse.llm.attention import ExactAttention
from edge_sparse.llm.loading import from_model
from edge_sparse.plan import DType
from edge_sparse.session import Session
from edge_sparse.tokenizer import Tokenizer

CONTEXT, CHUNK = 48, 8
CONFIG = DecoderConfig("small", 32, 2, 4, 2, 8, 48, 256, CONTEXT, 1e-5, inverse_frequencies(8, 10000.0))
BYTES = Tokenizer(1, (), bos=0, eos=255, temperature=0.0, add_bos=True)


@functools.cache
def _weights():
    return random_model(CONFIG, dtype="f32", chunk=CHUNK, context=CONTEXT, seed=4)


def small_model(tokenizer=BYTES):
    return replace(_weights(), tokenizer=tokenizer)


def open_small(mode=None, tokenizer=BYTES, backend="reference", **options):
    return from_model(small_model(tokenizer), mode or ExactAttention(DType.F32), backend=backend, **options)


def slow_logits(tokens):
    """Return the logits after the last token, computed from nothing, token by token."""
    return _slow_logits(tuple(tokens))


@functools.cache
def _slow_logits(tokens):
    with Session.from_model(small_model(), backend="reference", plan="generate") as session:
        for position, token in enumerate(tokens):
            inputs = {"ids": np.array([token], np.int32), "position": np.array([position], np.int32)}
            logits = session.run(inputs)["logits"][0]
    return logits


def greedy(tokens, count):
    """Return the likeliest continuation, every token computed from nothing."""
    tokens, result = list(tokens), []
    for _ in range(count):
        result.append(int(slow_logits(tokens).argmax()))
        tokens.append(result[-1])
    return result
