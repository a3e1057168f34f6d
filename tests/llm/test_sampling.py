"""Sampling: the stored vectors, a slow twin, and every option at its borders."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sampling_twin import choose, random_numbers
from tokenizer_twin import ranked, scored

from edge_sparse.errors import InputError
from edge_sparse.llm.pcg32 import Pcg32
from edge_sparse.llm.sampling import Sampling, choose_token
from edge_sparse.llm.text_codec import TextCodec

VECTORS = Path(__file__).parent.parent / "vectors"
sys.path.append(str(VECTORS))

from language_vectors import generation_vectors, record_of, tokenization_vectors  # noqa: E402


class Fixed:
    """Gives one number."""

    def __init__(self, value):
        self.value = value

    def uniform(self):
        return self.value


def test_the_numbers_are_those_of_the_published_generator():
    random = Pcg32(42)
    published = [0xA15C02B7, 0x7B47F409, 0xBA1D3330, 0x83D2F293, 0xBFA4784B, 0xCBED606E]
    assert [random.next() for _ in range(6)] == published
    for seed in (0, 1, 2**64 - 1, -5):
        random = Pcg32(seed)
        assert [random.next() for _ in range(100)] == random_numbers(seed, 100)


def test_generation_vectors():
    stored = json.loads((VECTORS / "generation.json").read_text())
    assert json.loads(json.dumps(generation_vectors())) == stored
    assert stored["numbers"] == random_numbers(stored["seed"], 16)
    for case in stored["cases"]:
        tokens, numbers = list(stored["prompt"]), iter(random_numbers(stored["seed"], 100))
        for step in range(len(case["tokens"])):
            number = next(numbers) if case["temperature"] else 0
            tokens.append(choose(stored["logits"][step % 6], case, number, tokens))
        assert tokens[2:] == case["tokens"], case


def test_tokenization_vectors():
    pytest.importorskip("tokenizers")
    stored = json.loads((VECTORS / "tokenization.json").read_text())
    assert json.loads(json.dumps(tokenization_vectors())) == stored
    for vector in stored:
        record = record_of(vector["record"])
        twin = {1: lambda r, text: [r.bos, *text.encode()], 2: scored, 3: ranked}[record.kind]
        for case in vector["cases"]:
            assert TextCodec(record).encode(case["text"]) == case["tokens"] == twin(record, case["text"])
            assert TextCodec(record).decode(case["tokens"]) == case["shown"]


@pytest.mark.parametrize("size", [1, 2, 30, 2000])
def test_random_options_equal_the_twin(size):
    random = np.random.default_rng(size)
    for _ in range(60 if size < 2000 else 25):
        # A flat distribution over 2000 tokens makes the first 512 insufficient.
        logits = (random.standard_normal(size) * random.choice([0.01, 1, 5])).astype(np.float32)
        options = {
            "temperature": float(random.choice([0, 0.3, 1, 2])),
            "top_k": int(random.choice([0, 1, 7, 600, 5000])),
            "top_p": float(random.choice([1, 0.95, 0.5, 0.01])),
            "min_p": float(random.choice([0, 0.01, 0.5])),
            "repetition_penalty": float(random.choice([1, 1.3, 0.8])),
        }
        context = random.integers(0, size, 5).tolist()
        number = int(random.integers(0, 2**32))
        chosen = choose_token(logits, Sampling(**options), Fixed(number / 2**32), context)
        assert chosen == choose(logits, options, number, context), options


def test_equal_logits_prefer_low_numbers():
    logits = np.array([0, 1, 1, 1], np.float32)
    assert choose_token(logits, Sampling(0.0), Pcg32(0)) == 1
    assert choose_token(logits, Sampling(1.0, top_k=2), Fixed(0.99)) == 2


def test_excluded_tokens_are_never_chosen():
    logits = np.array([-np.inf, 0, -np.inf], np.float32)
    assert {choose_token(logits, Sampling(), Pcg32(seed)) for seed in range(50)} == {1}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_logits_are_named(bad):
    with pytest.raises(InputError, match="LOGITS_NOT_FINITE"):
        choose_token(np.array([0, bad], np.float32), Sampling(), Pcg32(0))


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": 1.0},
        {"min_p": -0.1},
        {"repetition_penalty": 0.0},
    ],
    ids=str,
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))) as error:
        Sampling(**options)
    assert error.value.code == "SAMPLING_RANGE"
