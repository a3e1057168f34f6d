"""Which backend a conversion is verified on in tests."""

import pytest
from edge_sparse.converters import verify


@pytest.fixture
def vector_kernels():
    """Asked for by the tests that run what users run; the others verify on the oracle, which has nothing to compile."""


@pytest.fixture
def oracle(request, monkeypatch):
    if "vector_kernels" not in request.fixturenames:
        monkeypatch.setattr(verify, "verification_backend", lambda dtype: "reference")
