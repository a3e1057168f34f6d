"""The Raspberry Pi scripts: they say what the library says, and tell clearly what is missing."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_sparse as es
from edge_sparse.format.reader import read_model

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "examples" / "raspberry_pi"


def _script(name, *arguments):
    command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def digits(digits):
    return digits[0]


def test_pictures_are_classified_and_timed(digits):
    pictures = [ROOT / "examples" / "digits" / "images" / f"{digit}.png" for digit in (3, 7)]
    done = _script("classify.py", digits, *pictures, "--repeat", 3, "-t", 1)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines[:2]] == ["3", "7"]
    assert re.search(r"1 thread\(s\), .*minimum [\d.]+ ms, median [\d.]+ ms; peak memory \d+ MiB", lines[2])


def test_without_a_camera_it_says_what_to_install(digits):
    if subprocess.run([sys.executable, "-c", "import picamera2"], capture_output=True).returncode == 0:
        pytest.skip("picamera2 is installed here")
    done = _script("classify.py", digits, "--camera")
    assert done.returncode == 1
    assert "apt install python3-picamera2" in done.stderr


def test_a_missing_file_is_no_traceback(tmp_path):
    for name in ("classify.py", "generate.py", "estimate.py"):
        arguments = ["x.png"] if name == "classify.py" else []
        done = _script(name, tmp_path / "nothing.egs", *arguments)
        assert done.returncode == 1
        assert "FILE_NOT_FOUND" in done.stderr
        assert "Traceback" not in done.stderr


def test_estimates_count_what_sessions_count(digits):
    sys.path.insert(0, str(SCRIPTS))
    try:
        import estimate
    finally:
        sys.path.remove(str(SCRIPTS))
    model = read_model(digits)
    work = estimate.multiply_adds(model, model.plan(""), 1)
    assert 2 * work == es.load(digits, backend="reference").flops
    four, five = estimate.BOARDS
    seconds, limit = estimate.least_seconds(work, digits.stat().st_size, four, 1)
    assert limit == "arithmetic"
    np.testing.assert_allclose(seconds, work * 24.1 / 96 / 1.5e9)
    assert estimate.least_seconds(0, 1 << 30, five, 4) == (pytest.approx((1 << 30) / 17.068e9), "memory")
    assert "no estimate" in estimate.describe(*estimate.least_seconds(0, 1, five, 1)[:1], decoder=True)


def test_text_is_generated(tmp_path):
    from edge_sparse.converters.decoder.convert import convert_decoder

    path = tmp_path / "shakespeare.egs"
    convert_decoder(ROOT / "examples" / "shakespeare" / "model", path, dtype="s8", perplexity=False)
    done = _script("generate.py", path, "-p", "ROMEO:", "-n", 8, "--temperature", 0, "-t", 1)
    assert done.returncode == 0, done.stderr
    with es.llm.load(path) as model:
        expected = model.generate("ROMEO:", max_tokens=8, temperature=0).text
    assert done.stdout.startswith("ROMEO:" + expected)
    assert re.search(r"[\d.]+ tokens/s, first token after \d+ ms", done.stdout)
