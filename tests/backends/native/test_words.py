"""The core writes numbers and names into its messages as the C library's snprintf would."""

import subprocess
import sys
from pathlib import Path

KERNELS_ARM = Path(__file__).parents[3] / "kernels_arm"


def test_words_are_those_of_snprintf(zig, tmp_path):
    program = tmp_path / "words"
    sources = [str(KERNELS_ARM / name) for name in ("core/words.c", "tests/words.c")]
    options = ["-std=c11", "-O1", "-fsanitize=undefined", f"-I{KERNELS_ARM / 'core'}", "-lm", "-o", str(program)]
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *sources, *options], check=True)
    result = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    count, *_ = result.stdout.splitlines()[-1].split()
    assert int(count) > 100_000
