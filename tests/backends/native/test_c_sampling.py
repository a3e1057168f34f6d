"""The C core's sampler: the vectors, and the choices of the Python twin."""

import ctypes
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_text import TESTS

from edge_sparse.errors import InputError
from edge_sparse.llm.pcg32 import Pcg32
from edge_sparse.llm.sampling import Sampling, choose_token

NOT_FINITE = "LOGITS_NOT_FINITE"


class CSampling(ctypes.Structure):
    _fields_ = (
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_uint32),
        *((name, ctypes.c_float) for name in ("top_p", "min_p", "repetition_penalty")),
        ("seed", ctypes.c_uint64),
    )


class Sampler(ctypes.Structure):
    _fields_ = (
        ("vocabulary", ctypes.c_uint32),
        *((name, ctypes.c_void_p) for name in ("scores", "heap", "seen")),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The sampler alone, with its functions visible."""
    core = TESTS.parent / "kernels_arm"
    spec = importlib.util.spec_from_file_location("build_core", core / "build.py")
    build = importlib.util.module_from_spec(spec)
    sys.modules["build_core"] = build
    spec.loader.exec_module(build)
    compiler = build.default_compiler()
    if not compiler:
        pytest.skip("no C compiler")
    made = tmp_path_factory.mktemp("sampling") / "sampling.so"
    command = [*build.compiler_command(compiler, ""), "-std=c11", "-O2", "-shared", "-fPIC", f"-I{core / 'include'}"]
    subprocess.run([*command, str(core / "core" / "sampling.c"), "-o", str(made), "-lm"], check=True)
    library = ctypes.CDLL(str(made))
    library.es_sampler_bytes.restype = ctypes.c_size_t
    library.es_sampler_in.restype, library.es_sampler_in.argtypes = Sampler, [ctypes.c_void_p, ctypes.c_uint32]
    library.es_pcg32_start.restype, library.es_pcg32_start.argtypes = ctypes.c_uint64, [ctypes.c_uint64]
    library.es_pcg32_next.restype = ctypes.c_uint32
    return library


class Chooser:
    """Chooses tokens with the C core."""

    def __init__(self, library, vocabulary, seed, **options):
        options = {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0} | options
        self.library, self.options = library, CSampling(**options)
        self.memory = np.empty(library.es_sampler_bytes(vocabulary) // 8 + 1, np.float64)
        self.sampler = library.es_sampler_in(self.memory.ctypes.data, vocabulary)
        self.random = ctypes.c_uint64(library.es_pcg32_start(seed))

    def __call__(self, logits, context):
        logits, context = np.ascontiguousarray(logits, np.float32), np.array(context, np.int32)
        token = ctypes.c_int32(-1)
        status = self.library.es_choose_token(
            ctypes.byref(self.sampler),
            ctypes.byref(self.options),
            ctypes.c_void_p(logits.ctypes.data),
            ctypes.c_void_p(context.ctypes.data),
            ctypes.c_size_t(len(context)),
            ctypes.byref(self.random),
            ctypes.byref(token),
        )
        return token.value if status == 0 else -1


def test_vectors(library):
    vectors = json.loads((TESTS / "vectors" / "generation.json").read_text())
    random = ctypes.c_uint64(library.es_pcg32_start(vectors["seed"]))
    assert [library.es_pcg32_next(ctypes.byref(random)) for _ in range(16)] == vectors["numbers"]
    logits = np.array(vectors["logits"], np.float32)
    for case in vectors["cases"]:
        expected, tokens = case["tokens"], list(vectors["prompt"])
        choose = Chooser(library, logits.shape[1], vectors["seed"], **{k: v for k, v in case.items() if k != "tokens"})
        for step in range(len(expected)):
            tokens.append(choose(logits[step % len(logits)], tokens))
        assert tokens[2:] == expected, case


def single(low, high, **bounds):
    return st.floats(low, high, width=32, **bounds)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(0, 2**64 - 1),
    single(0, 4) | st.just(0.0) | st.just(1.0),
    st.integers(0, 50) | st.just(0),
    single(0, 1, exclude_min=True) | st.just(1.0),
    single(0, 1, exclude_max=True) | st.just(0.0),
    single(0.5, 2) | st.just(1.0),
    st.sampled_from([0.25, 1.0, 8.0]),
)
def test_choices_equal_those_of_python(library, vocabulary, seed, temperature, top_k, top_p, min_p, penalty, spread):
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    options["repetition_penalty"] = penalty
    sampling, random, tokens = Sampling(**options), Pcg32(seed), [0]
    choose, chance = Chooser(library, vocabulary, seed, **options), np.random.default_rng(seed)
    # Multiples of 1/8, so that some are equal; some tokens are excluded.
    logits = np.round(chance.normal(0, 8 * spread, (4, vocabulary))).astype(np.float32) / 8
    logits[0, 1::3] = -np.inf
    for row in logits:
        expected = choose_token(row, sampling, random, tokens)
        assert choose(row, tokens) == expected
        tokens.append(expected)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_broken_logits_are_refused(library, wrong):
    logits = np.full(5, wrong, np.float32)
    assert Chooser(library, 5, 1)(logits, []) == -1
    logits[2] = 1.0
    expected = 2 if wrong == -np.inf else -1
    assert Chooser(library, 5, 1)(logits, []) == expected
    if expected < 0:
        with pytest.raises(InputError, match=NOT_FINITE):
            choose_token(logits, Sampling(), Pcg32(1))
