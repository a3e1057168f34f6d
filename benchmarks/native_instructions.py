"""Instructions that the C core's integer products take on ARM, per kept weight and token; no ARM machine needed.

    python benchmarks/native_instructions.py                 # pip install ziglang, apt-get install qemu-user
    python benchmarks/native_instructions.py --json out.json

Every kernel is compiled for ARMv8.0 (Cortex-A72, Raspberry Pi 4) and with dot products (Cortex-A76, Raspberry Pi 5) and
run by qemu, whose plugin counts; more runs minus fewer leave the instructions of one. They are no times: decoding
waits for memory. The program fails where one token with s4 weights in groups of 16 exceeds ``LIMITS``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_sparse.plan import DType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "kernels_arm"))

from build import DOTPROD, FLAGS, VECTOR, Variant, compiler_command  # noqa: E402

#: Instructions per kept weight that decoding may take.
LIMITS = {"vector": 1.0, "dotprod": 0.5}
PROCESSORS = {"vector": "cortex-a72", "dotprod": "cortex-a76"}
ROWS, COLUMNS, SEGMENT = 1024, 1024, 32


@dataclass(frozen=True)
class Count:
    """Instructions per kept weight and token of one product."""

    variant: str
    dtype: str
    group: int
    kept_percent: int
    tokens: int
    instructions: float


def build_plugin(folder: Path) -> Path:
    """Compile the plugin that counts."""
    source, plugin = ROOT / "benchmarks" / "arm" / "count_instructions.c", folder / "count_instructions.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(plugin)], check=True)
    return plugin


def build_program(variant: Variant, folder: Path) -> Path:
    """Compile the kernels of one variant with a program around them."""
    core, program = ROOT / "kernels_arm", folder / f"integer_product_{variant.name}"
    sources = [core / "kernels" / "spmm_integer.c", ROOT / "benchmarks" / "arm" / "integer_product.c"]
    command = [*compiler_command("zig", "aarch64-linux-musl"), *FLAGS, *variant.zig_flags, "-static"]
    command += [f"-DES_VARIANT_NAME={variant.name}", *(f"-I{core / name}" for name in ("include", "core", "vec"))]
    subprocess.run([*command, *map(str, sources), "-o", str(program)], check=True)
    return program


def instructions(command: list[str], runs: int) -> tuple[int, int]:
    """Return the instructions of a program that multiplies so many times, and the kept weights."""
    done = subprocess.run([*command, str(runs)], check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1]), int(done.stdout)


def count(plugin: Path, program: Path, variant: str, dtype: DType, group: int, percent: int, tokens: int) -> Count:
    """Count one product."""
    command = ["qemu-aarch64", "-cpu", PROCESSORS[variant], "-plugin", str(plugin), str(program)]
    command += [str(number) for number in (dtype.value, group, ROWS, COLUMNS, SEGMENT, percent, tokens)]
    (once, weights), (thrice, _) = instructions(command, 1), instructions(command, 3)
    return Count(variant, dtype.name.lower(), group, percent, tokens, (thrice - once) / 2 / weights / tokens)


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    arguments = parser.parse_args()
    if not shutil.which("qemu-aarch64"):
        parser.error("no qemu-aarch64: apt-get install qemu-user")
    counts: list[Count] = []
    print("variant   values   group  kept  tokens  instructions per kept weight and token")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = build_plugin(folder)
        for variant in (VECTOR, DOTPROD):
            program = build_program(variant, folder)
            for dtype in (DType.S4, DType.S8, DType.TERNARY):
                for group, percent, tokens in ((16, 100, 1), (16, 50, 1), (32, 50, 1), (16, 100, 8), (16, 50, 8)):
                    one = count(plugin, program, variant.name, dtype, group, percent, tokens)
                    counts.append(one)
                    print(f"{one.variant:8}  {one.dtype:8} {group:4} {percent:5} % {tokens:5}   {one.instructions:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in counts], indent=1) + "\n")
    decoding = [one for one in counts if (one.dtype, one.group, one.tokens) == ("s4", 16, 1)]
    failed = [one for one in decoding if one.instructions > LIMITS[one.variant]]
    for one in failed:
        print(f"too many instructions: {one}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
