"""Every valid vector and the shipped models compute the same in every kernel variant, on every processor at hand."""

import pytest
from replay_cases import VALID, check_digits, check_shakespeare, check_vector

HOST, ARM = "x86_64-linux-musl", "aarch64-linux-musl"
#: Target, processor, mask of variants, threads.
PROCESSORS = {
    "x86 scalar": (HOST, "", 1, 1),
    "x86 SSE2": (HOST, "", 3, 2),
    "x86 AVX2": (HOST, "", 7, 1),
    "A53 scalar": (ARM, "cortex-a53", 1, 1),
    "A53 NEON": (ARM, "cortex-a53", 15, 1),
    "A72 NEON": (ARM, "cortex-a72", 15, 3),
    "A76 dot product": (ARM, "cortex-a76", 15, 1),
}
#: How the names of kernels end that a network of floats runs.
LABELS = dict(zip(PROCESSORS, ("scalar", "sse2", "avx2", "scalar", "neon", "neon", "neon"), strict=True))
processors = pytest.mark.parametrize("processor", PROCESSORS)


@processors
@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_vectors(path, processor, programs, tmp_path):
    target, cpu, variants, threads = PROCESSORS[processor]
    check_vector(programs(target, cpu), path, tmp_path, variants, threads)


@processors
def test_the_digits_network(digits, processor, programs, tmp_path):
    target, cpu, variants, threads = PROCESSORS[processor]
    kernels = check_digits(programs(target, cpu), digits, tmp_path, variants, threads)
    assert {kernel.rpartition("_")[2] for kernel in kernels} == {LABELS[processor]}


@pytest.mark.parametrize("dtype", ["f32", "s8", "s4"])
@processors
def test_the_shakespeare_model(dtype, processor, shakespeare, programs, tmp_path):
    target, cpu, variants, threads = PROCESSORS[processor]
    kernels = check_shakespeare(programs(target, cpu), shakespeare(dtype), dtype, tmp_path, variants, threads)
    if processor == "A76 dot product" and dtype != "f32":
        assert any("dot" in kernel for kernel in kernels)
