"""The benchmark of a language model: its numbers hang together, and its mistakes have names."""

import dataclasses

import pytest
from edge_sparse.converters.decoder.random_model import LLAMA_3_2_1B, random_model

from edge_sparse.errors import InputError
from edge_sparse.format.writer import write_model
from edge_sparse.llm.attention import DeltaAttention, ExactAttention
from edge_sparse.llm.decode_benchmark import decode_benchmark
from edge_sparse.llm.decode_timer import DecodeTimer, cache_bytes, weight_bytes
from edge_sparse.plan import DType

TINY = dataclasses.replace(LLAMA_3_2_1B, dim=64, layers=2, heads=2, kv_heads=1, ffn=96, vocab=48)


@pytest.fixture(scope="module")
def decoder():
    return random_model(TINY, dtype="s8", chunk=8, context=64)


def test_the_bytes_of_a_token(decoder):
    # q and o of two heads, k and v of one, three of the feed-forward; a scale of two bytes for 32 weights.
    weights = 2 * 64 * (2 * 128 + 2 * 64 + 3 * 96) + 48 * 64
    assert weight_bytes(decoder) == weights + weights // 32 * 2
    # Two layers, keys and values of one head of 64 float32.
    assert cache_bytes(decoder, 0) == 2 * 2 * 64 * 4
    assert cache_bytes(decoder, 9) == 10 * cache_bytes(decoder, 0)


@pytest.mark.parametrize("mode", [None, ExactAttention(), ExactAttention(DType.F16), DeltaAttention(0.1)])
def test_the_numbers_hang_together(decoder, mode):
    report = decode_benchmark(
        decoder, attention=mode, depths=[0, 40], tokens=3, prefill=20, prefill_repeats=1, backend="reference"
    )
    assert [timing.depth for timing in report.decoding] == [0, 40]
    assert report.prefill[0].tokens == 20
    assert report.context >= 45
    for timing in (*report.decoding, *report.prefill):
        assert 0 < timing.min_seconds <= timing.median_seconds
        assert timing.tokens_per_second * timing.median_seconds == pytest.approx(getattr(timing, "tokens", 1))
    for timing in report.decoding:
        if isinstance(mode, DeltaAttention):
            assert timing.gigabytes_per_second is None
        else:
            read = report.weight_bytes + (timing.depth + 1) * report.cache_bytes_per_token
            assert timing.gigabytes_per_second == pytest.approx(read / timing.min_seconds / 1e9)


def test_numba_is_measured_against_the_memory(decoder):
    report = decode_benchmark(decoder, attention=ExactAttention(), depths=[3], threads=[1, 2], tokens=2)
    assert report.backend == "numba"
    assert sorted(report.bandwidth) == [1, 2]
    for timing in report.decoding:
        share = timing.gigabytes_per_second / report.bandwidth[timing.threads]
        assert timing.bandwidth_share == pytest.approx(share)


def test_filling_changes_what_a_token_finds(decoder):
    with DecodeTimer(decoder, backend="reference") as timer:
        name = next(tensor.name for tensor in timer.session.plan.tensors if tensor.name.endswith("cache"))
        assert not timer.session.state(name).any()
        timer.fill(4)
        assert timer.session.state(name).all()
        assert len(timer.decode(4, 2)) == 2


@pytest.mark.parametrize("options", [{"depths": []}, {"depths": [-1]}, {"tokens": 0}, {"depths": [62]}])
def test_impossible_numbers(decoder, options):
    with pytest.raises(InputError, match="DEPTH_RANGE"):
        decode_benchmark(decoder, backend="reference", **options)


def test_the_command(cli, decoder, tmp_path):
    path = tmp_path / "decoder.egs"
    write_model(decoder, path)
    options = ("--decode", "--depth", "0,16", "--tokens", 2, "--prefill", 9, "--backend", "reference")
    outcome = cli("bench", path, *options)
    assert outcome.code == 0
    for word in ("tokens/s", "one token after another", "a prompt", "of cache per token"):
        assert word in outcome.out
    found = cli("bench", path, *options, "--attention", "delta", "-o", "json").json
    assert [timing["depth"] for timing in found["decoding"]] == [0, 16]
    assert "DeltaAttention" in found["attention"]


def test_the_command_refuses_other_models(cli, model_file, decoder, tmp_path):
    assert "NO_LANGUAGE_MODEL" in cli("bench", model_file, "--decode").err
    path = tmp_path / "decoder.egs"
    write_model(decoder, path)
    assert "USAGE" in cli("bench", path, "--decode", "--steps").err
