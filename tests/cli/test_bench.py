"""The benchmark's numbers hang together, in every form of output."""

import csv
import io

import numpy as np
import pytest

from edge_sparse.backends.numba.peak import peak_gflops
from edge_sparse.benchmark import benchmark
from edge_sparse.errors import InputError
from edge_sparse.format.packing import dense


def test_the_numbers_hang_together(model, model_file):
    report = benchmark(model_file, threads=[1, 2], repeats=7, warmup=1, steps=True)
    assert [timing.threads for timing in report.timings] == [1, 2]
    assert report.file_bytes == model_file.stat().st_size
    assert report.read_seconds > 0
    assert report.peak_memory_bytes > 10e6
    for timing in report.timings:
        assert 0 < timing.min_seconds <= timing.median_seconds
        assert timing.min_seconds <= timing.mean_seconds
        assert timing.first_seconds > 0
        assert timing.prepare_seconds > 0
        assert timing.gflops == pytest.approx(report.flops / timing.min_seconds / 1e9)
        assert timing.peak_share == pytest.approx(timing.gflops / report.peak_gflops / timing.threads)
        assert [step.name for step in timing.steps] == [step.name for step in model.plan().steps]
        assert sum(step.flops for step in timing.steps) == report.flops


def test_work_counts_stored_weights_only(model):
    report = benchmark(model, repeats=1, warmup=0)
    # 8 x 8 pixels after the first convolution; one for the linear layer at the end; 9 taps of the depthwise one.
    *convolutions, head = (np.count_nonzero(dense(matrix)) for matrix in model.matrices)
    assert report.flops == 2 * (64 * sum(convolutions) + head + 64 * 16 * 9)
    assert report.file_bytes == report.read_seconds == 0


def test_the_reference_has_no_limit_of_its_own(model):
    report = benchmark(model, repeats=1, warmup=0, backend="reference")
    assert report.backend == "reference"
    assert report.peak_gflops is None
    assert report.timings[0].peak_share is None


@pytest.mark.parametrize("options", [{"repeats": 0}, {"warmup": -1}, {"threads": []}])
def test_impossible_counts(model, options):
    with pytest.raises(InputError, match="REPEATS_RANGE"):
        benchmark(model, **options)


def test_the_limit_of_the_processor_is_plausible():
    assert 1 < peak_gflops(3) < 10_000


def test_text(cli, model_file, model):
    outcome = cli("bench", model_file, "-r", 3, "--steps", "-t", "1,2")
    assert outcome.code == 0
    for word in ("processor: ", "GFLOP/s", "median ms", "first run ms", "peak memory", "cumulative", "numpy "):
        assert word in outcome.out
    for step in model.plan().steps:
        assert outcome.out.count(f" {step.name} ") == 2
    last = [line for line in outcome.out.splitlines() if f" {model.plan().steps[-1].name} " in line]
    assert all("100.0%" in line for line in last)


def test_markdown(cli, model_file):
    outcome = cli("bench", model_file, "-r", 2, "-o", "md")
    table = [line for line in outcome.out.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert len({line.count("|") for line in table}) == 1


def test_csv_is_one_table_and_nothing_else(cli, model_file, model):
    for words, count in (([], 1), (["--steps"], len(model.plan().steps))):
        outcome = cli("bench", model_file, "-r", 2, "-o", "csv", *words)
        rows = list(csv.DictReader(io.StringIO(outcome.out)))
        assert len(rows) == count
        assert all(None not in row and None not in row.values() for row in rows)


def test_json(cli, model_file):
    for words in (["-o", "json"], ["--json"]):
        document = cli("bench", model_file, "-r", 2, *words).json
        assert document["timings"][0]["threads"] == 1
        assert document["versions"]["numpy"] == np.__version__
        assert document["processor"]


def test_wrong_options(failure, model_file):
    assert failure("bench", model_file, "-r", "0") == ("REPEATS_RANGE", 3)
    assert failure("bench", model_file, "-t", "0") == ("THREADS_RANGE", 3)
    assert failure("bench", model_file, "-o", "xml") == ("USAGE", 3)
    assert failure("bench", model_file, "--backend", "cuda") == ("BACKEND_UNKNOWN", 4)
