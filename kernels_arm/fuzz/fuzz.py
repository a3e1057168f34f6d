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
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from build import ROOT, objects  # noqa: E402

SANITIZERS = ["-g1", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-DES_UNROLL="]
#: Longest file that is made; vectors are below.
LARGEST_FILE = 24 * 1024


def compiler() -> str:
    """Return the newest clang, "" if there is none."""
    return next((name for name in ("clang-19", "clang-18", "clang-17", "clang") if shutil.which(name)), "")


def link(clang: str, sources: list[Path], sanitizer: str, output: Path) -> Path:
    """Link a program with all variants of all kernels; the objects of a folder serve every program in it."""
    flags = [*SANITIZERS, "-fsanitize=fuzzer-no-link,address,undefined"]
    parts = objects("", clang, output.parent / "objects", flags)
    includes = [f"-I{ROOT / folder}" for folder in ("include", "core")]
    target = [*SANITIZERS, f"-fsanitize={sanitizer},address,undefined", "-std=c11", *includes]
    subprocess.run([clang, *target, *map(str, [*sources, *parts]), "-lm", "-lpthread", "-o", str(output)], check=True)
    return output


def build(clang: str, output: Path) -> Path:
    """Build the fuzz target."""
    return link(clang, sorted(HERE.glob("*.c")), "fuzzer", output / "load_and_run")


def build_replay(clang: str, output: Path) -> Path:
    """Build the program that runs a file on given inputs, with the same checks."""
    return link(clang, [ROOT / "tests" / "replay.c"], "fuzzer-no-link", output / "replay")


def run(
    program: Path, output: Path, seconds: int = 0, runs: int = -1, workers: int = 1, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Damage files until the time, the runs or a finding ends it; what is found lies in ``output``."""
    corpus, vectors = output / "corpus", ROOT.parent / "tests" / "vectors"
    corpus.mkdir(parents=True, exist_ok=True)
    words = [f"-max_total_time={seconds}", f"-runs={runs}", f"-max_len={LARGEST_FILE}", "-timeout=20"]
    words += ["-rss_limit_mb=2048", f"-artifact_prefix={output}/", "-print_final_stats=1"]
    if workers > 1:
        words += [f"-jobs={workers}", f"-workers={workers}"]
    folders = [str(corpus), str(vectors / "valid"), str(vectors / "invalid")]
    return subprocess.run([str(program), *words, *folders], check=False, cwd=output, **options)


def main() -> int:
    """Build, then run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="0: no limit")
    parser.add_argument("--runs", type=int, default=-1, help="-1: no limit")
    parser.add_argument("--workers", type=int, default=1, help="processes that share one corpus")
    parser.add_argument("-o", "--output", type=Path, default=ROOT.parent / "build" / "fuzz")
    arguments = parser.parse_args()
    clang = compiler()
    if not clang:
        parser.error("fuzzing needs clang with libFuzzer: apt-get install clang")
    output = arguments.output.resolve()
    program = build(clang, output)
    return run(program, output, arguments.seconds, arguments.runs, arguments.workers).returncode


if __name__ == "__main__":
    sys.exit(main())
