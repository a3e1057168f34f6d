"""Going back in a cache, more than once, computes what an empty cache would."""

import numpy as np
import pytest
from small_decoder import CONTEXT, small_model

from edge_sparse.llm.attention import with_attention
from edge_sparse.llm.delta import DeltaAttention
from edge_sparse.llm.token_cache import TokenCache
from edge_sparse.plan import DType
from edge_sparse.session import Session

TEXT = [int(token) for token in np.random.default_rng(5).integers(1, 255, 44)]
OTHER = [token ^ 1 for token in TEXT]


def delta_cache(backend):
    mode = DeltaAttention(theta=2.0, window=0.25, cache=DType.F32)
    session = Session.from_model(with_attention(small_model(), mode, CONTEXT), backend=backend, plan="generate")
    return TokenCache(session, mode, CONTEXT)


def continued(cache, tokens):
    kept = cache.go_back(tokens)
    return kept, cache.read(tokens[kept:])[-1]


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_delta_attention_goes_back_twice(backend):
    cache = delta_cache(backend)
    # Blocks of 10 tokens; of 44 the ring holds the exact keys of the last 20, and going back brings none again.
    continued(cache, TEXT[:40])
    cache.read(TEXT[40:])
    continued(cache, [*TEXT[:34], *OTHER[34:36]])
    kept, found = continued(cache, [*TEXT[:28], OTHER[28]])
    assert kept == 20
    fresh = delta_cache(backend)
    fresh.go_back(TEXT[:40])
    expected = fresh.read([*TEXT[:28], OTHER[28]])[-1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_prompt_that_shares_little_gets_a_window_of_its_own():
    cache = delta_cache("reference")
    cache.go_back(TEXT[:4])
    cache.read(TEXT[:4])
    assert cache.window == 1
    assert cache.go_back([*TEXT[:4], *OTHER[4:7]]) == 4
    assert cache.window == 1
    assert cache.go_back([*TEXT[:4], *OTHER[4:40]]) == 0
    assert cache.window == 10
