"""Every way to compute a checksum gives zlib's, on this processor and on ARM, with and without its CRC instructions."""

import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

KERNELS_ARM = Path(__file__).parents[3] / "kernels_arm"
SOURCES = [*sorted(KERNELS_ARM.glob("core/crc32*.c")), KERNELS_ARM / "core/os.c", KERNELS_ARM / "tests/checksums.c"]
#: Command that runs a program, the zig target it is built for, and which way it should take.
MACHINES = {
    "this": ([], "", ""),
    "cortex-a72": (["qemu-aarch64", "-cpu", "cortex-a72"], "aarch64-linux-musl", "instructions"),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_checksums_are_those_of_zlib(machine, tmp_path):
    emulator, target, way = MACHINES[machine]
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    if subprocess.run([*compiler, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("needs zig: pip install ziglang")
    if emulator and not shutil.which(emulator[0]):
        pytest.skip(f"needs {emulator[0]}: apt-get install qemu-user")
    program, file = tmp_path / "checksums", tmp_path / "bytes"
    includes = [f"-I{KERNELS_ARM / folder}" for folder in ("include", "core")]
    options = ["-std=c11", "-O2", *(("-target", target, "-static") if target else ()), *includes]
    subprocess.run([*compiler, *options, *map(str, SOURCES), "-o", str(program)], check=True)
    data = np.random.default_rng(5).integers(0, 256, 1 << 16, dtype=np.uint8).tobytes()
    file.write_bytes(data)
    result = subprocess.run([*emulator, str(program), str(file)], capture_output=True, text=True, check=True)
    *lines, taken = result.stdout.splitlines()
    assert len(lines) > 350
    for line in lines:
        first, end, *sums = line.split()
        assert sums == [f"{zlib.crc32(data[int(first) : int(end)]):08x}"] * 6
    assert taken == (way or taken)
