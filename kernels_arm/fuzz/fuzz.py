"""Build the fuzz target with clang and run it on the vectors of tests/vectors.

python kernels_arm/fuzz/fuzz.py --seconds 60
python kernels_arm/fuzz/fuzz.py --runs 100000 --output build/fuzz
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from build import ROOT, objects  # noqa: E402

SANITIZERS = ["-g1", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
#: Longest file that is made; vectors are below.
LARGEST_FILE = 24 * 1024


def compiler() -> str:
    """Return the newest clang, "" if there is none."""
    return next((name for name in ("clang-19", "clang-18", "clang-17", "clang") if shutil.which(name)), "")


def build(clang: str, output: Path) -> Path:
    """Build the target, all variants of all kernels included."""
    flags = [*SANITIZERS, "-fsanitize=fuzzer-no-link,address,undefined"]
    parts = objects("", clang, output / "objects", flags)
    sources = sorted(HERE.glob("*.c"))
    program = output / "load_and_run"
    includes = [f"-I{ROOT / folder}" for folder in ("include", "core")]
    target = [*SANITIZERS, "-fsanitize=fuzzer,address,undefined", "-std=c11", *includes]
    subprocess.run([clang, *target, *map(str, [*sources, *parts]), "-lm", "-lpthread", "-o", str(program)], check=True)
    return program


def main() -> int:
    """Build, then run until the time, the runs or a finding ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="0: no limit")
    parser.add_argument("--runs", type=int, default=-1, help="-1: no limit")
    parser.add_argument("-o", "--output", type=Path, default=ROOT.parent / "build" / "fuzz")
    arguments = parser.parse_args()
    clang = compiler()
    if not clang:
        parser.error("fuzzing needs clang with libFuzzer: apt-get install clang")
    program = build(clang, arguments.output)
    corpus = arguments.output / "corpus"
    corpus.mkdir(exist_ok=True)
    vectors = ROOT.parent / "tests" / "vectors"
    limits = [f"-max_total_time={arguments.seconds}", f"-runs={arguments.runs}", f"-max_len={LARGEST_FILE}"]
    options = ["-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={arguments.output}/", "-print_final_stats=1"]
    folders = [str(corpus), str(vectors / "valid"), str(vectors / "invalid")]
    return subprocess.run([str(program), *limits, *options, *folders], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
