"""Files run, or are refused, without a read or write outside memory, undefined behaviour, or memory that is lost."""

import subprocess

import pytest
from arm_machine import ROOT
from replay_cases import VALID, check_digits, check_shakespeare, check_vector

INVALID = sorted((ROOT / "tests" / "vectors" / "invalid").glob("*.egs"))
#: Mask of variants, threads.
VARIANTS = {"scalar": (1, 1), "SSE2": (3, 3), "AVX2": (7, 2)}
variants = pytest.mark.parametrize("variant", VARIANTS)
#: The kinds of decoders, networks and integers; valgrind is slow.
FOR_VALGRIND = [path for path in VALID if path.stem in ("decoder", "delta", "network_chw", "network_s4", "tokens")]


@variants
@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_vectors_with_sanitizers(path, variant, sanitized, tmp_path):
    check_vector(sanitized, path, tmp_path, *VARIANTS[variant])


@variants
def test_the_digits_network_with_sanitizers(digits, variant, sanitized, tmp_path):
    check_digits(sanitized, digits, tmp_path, *VARIANTS[variant])


@variants
@pytest.mark.parametrize("dtype", ["f32", "s8", "s4"])
def test_the_shakespeare_model_with_sanitizers(dtype, variant, shakespeare, sanitized, tmp_path):
    check_shakespeare(sanitized, shakespeare(dtype), dtype, tmp_path, *VARIANTS[variant])


def test_invalid_vectors_with_sanitizers(sanitized):
    assert INVALID
    for path in INVALID:
        words = [str(sanitized.replay_program), str(path), "", "1", "1", "inputs", "outputs"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        # Anything that a sanitizer found would follow.
        (line,) = done.stderr.splitlines()
        assert line.split(":")[0] == path.name.split(".")[0], path.name


@pytest.mark.parametrize("variant", ["scalar", "SSE2"])
@pytest.mark.parametrize("path", FOR_VALGRIND, ids=lambda path: path.stem)
def test_valid_vectors_in_valgrind(path, variant, memcheck, tmp_path):
    check_vector(memcheck, path, tmp_path, *VARIANTS[variant])


def test_damaged_files_with_sanitizers(fuzz, clang, build_folder, tmp_path):
    # libFuzzer ends with another status when it finds something, and leaves the file in the folder.
    program = fuzz.build(clang, build_folder / "sanitizers")
    done = fuzz.run(program, tmp_path, seconds=20, capture_output=True, text=True)
    found = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert done.returncode == 0, done.stderr[-4000:]
    assert not found
    assert "stat::number_of_executed_units" in done.stderr
