"""What the inner loops of the C core's products cost on ARM cores, by llvm-mca: no clock, no ARM machine needed.

    python benchmarks/native_kernels.py                  # the largest tiles of every kind
    python benchmarks/native_kernels.py --all --json out.json

Every tile is compiled for ARMv8.0 (``pip install ziglang``, or ``--compiler clang-19``), its loop over kept columns is
cut out of the assembly and simulated by llvm-mca (Debian package llvm-19) without caches. neoverse-n1 is the stand-in
for the Cortex-A76 of a Raspberry Pi 5 (2 multiply-adds of 4 floats a cycle), cortex-a57 for the A72 of a Raspberry Pi 4
(1). The program fails when a loop touches the stack: then sums do not fit the registers any more.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "kernels_arm"
sys.path.insert(0, str(ROOT))

from build import FLAGS, compiler_command  # noqa: E402

#: Processors of llvm-mca and their multiply-adds of 4 floats per cycle.
PROCESSORS = {"neoverse-n1": 2, "cortex-a57": 1}
TILES = {
    "spmm_chw": r"tile_(?P<rows>\d+)_(?P<vectors>\d+)_(?P<distance>\d+)",
    "spmm_nhwc": r"row_tile_f32_(?P<vectors>\d+)_(?P<pixels>\d+)",
    "spmm_rows": r"row_tile_f16_(?P<vectors>\d+)_(?P<pixels>\d+)",
}
#: Tiles that full strips of the usual groups run.
LARGEST = {
    "spmm_chw": {"tile_1_12_1", "tile_2_8_2", "tile_4_6_4", "tile_8_3_8", "tile_8_3_0"},
    "spmm_nhwc": {"row_tile_f32_2_6", "row_tile_f32_4_6", "row_tile_f32_4_1"},
    "spmm_rows": {"row_tile_f16_4_6", "row_tile_f16_4_1"},
}
#: Share of the peak below which the program fails, for the tiles that decide convolutions and dense layers.
FLOOR = 0.95
DECISIVE = {"tile_4_6_4", "tile_8_3_8", "row_tile_f32_4_6"}
STACK = re.compile(r"\[(sp|x29)\b")


@dataclass(frozen=True)
class Loop:
    """The inner loop of one tile; cycles by processor are those of one pass."""

    family: str
    tile: str
    instructions: int
    multiply_adds: int
    stack_accesses: int
    cycles: dict[str, float]

    @property
    def instructions_per_weight(self) -> float:
        """Instructions per multiply-add of one weight and one pixel."""
        return self.instructions / (4 * self.multiply_adds)

    def share(self, processor: str) -> float:
        """Multiply-adds per cycle over what the processor can do."""
        return self.multiply_adds / self.cycles[processor] / PROCESSORS[processor]


def assembly(family: str, compiler: str, folder: Path) -> list[str]:
    """Compile a file of kernels and return its assembly."""
    target = "aarch64-linux-gnu"
    command = compiler_command(compiler, f"{target}.2.28" if compiler == "zig" else "")
    command += [] if compiler == "zig" else [f"--target={target}"]
    includes = [f"-I{ROOT / name}" for name in ("include", "core", "vec")]
    output = folder / f"{family}.s"
    source = ROOT / "kernels" / f"{family}.c"
    options = ["-DES_VARIANT_NAME=vector", "-Wno-unused-command-line-argument", "-S", str(source), "-o", str(output)]
    subprocess.run([*command, *FLAGS, *includes, *options], check=True)
    return output.read_text().splitlines()


def functions(lines: list[str]) -> dict[str, list[str]]:
    """Return the lines of every function by name."""
    result: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if match := re.match(r"([A-Za-z_]\w*):", line):
            current = result.setdefault(match[1], [])
        current.append(line)
    return result


def inner_loop(lines: list[str]) -> list[str]:
    """Return the instructions of the loop without inner labels that has most multiply-adds."""
    labels: dict[str, int] = {}
    best: list[str] = []
    for number, line in enumerate(lines):
        if match := re.match(r"(\.L\w+):", line):
            labels = {match[1]: number}
        jump = re.match(r"\s+(?:b\.?\w+|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.L\w+)", line)
        if jump and jump[1] in labels:
            body = [code for code in lines[labels[jump[1]] + 1 : number + 1] if re.match(r"\t[a-z]", code)]
            if multiply_adds(body) > multiply_adds(best):
                best = body
    return best


def multiply_adds(code: list[str]) -> int:
    """Count the vector multiply-adds."""
    return sum(line.split()[0] == "fmla" for line in code)


def cycles(code: list[str], processor: str, tool: str) -> float:
    """Return the cycles of one pass in a long run, without caches."""
    passes = 400
    command = [tool, "-mtriple=aarch64", f"-mcpu={processor}", f"-iterations={passes}"]
    result = subprocess.run(command, input="\n".join(code), capture_output=True, text=True, check=True)
    match = re.search(r"Total Cycles:\s+(\d+)", result.stdout)
    if not match:
        raise RuntimeError(f"{tool} printed no cycles: {result.stdout[:200]}")
    return int(match[1]) / passes


def inner_loops(family: str, compiler: str, folder: Path, every: bool = False) -> dict[str, list[str]]:
    """Return the inner loops of a file's tiles, of the largest ones or of all."""
    loops = {}
    for name, lines in functions(assembly(family, compiler, folder)).items():
        if re.fullmatch(TILES[family], name) and (every or name in LARGEST[family]):
            loops[name] = inner_loop(lines)
            if not loops[name]:
                raise RuntimeError(f"{name} has no inner loop with multiply-adds")
    missing = LARGEST[family] - loops.keys()
    if missing:
        raise RuntimeError(f"{family} has no tiles {', '.join(sorted(missing))}")
    return loops


def stack_accesses(code: list[str]) -> int:
    """Count the instructions that name the stack."""
    return sum(bool(STACK.search(line)) for line in code)


def measure(family: str, compiler: str, tool: str, every: bool, folder: Path) -> list[Loop]:
    """Return the loops of a file's tiles with their cycles."""
    return [
        Loop(
            family,
            name,
            len(code),
            multiply_adds(code),
            stack_accesses(code),
            {processor: cycles(code, processor, tool) for processor in PROCESSORS},
        )
        for name, code in inner_loops(family, compiler, folder, every).items()
    ]


def faults(loops: list[Loop]) -> list[str]:
    """Return what makes the run fail."""
    result = [f"{loop.tile} touches the stack {loop.stack_accesses} times" for loop in loops if loop.stack_accesses]
    for loop in loops:
        for processor in PROCESSORS:
            if loop.tile in DECISIVE and loop.share(processor) < FLOOR:
                result.append(f"{loop.tile} reaches {loop.share(processor):.1%} of {processor}'s multiply-adds")
    return result


def main() -> int:
    """Print a table, or write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="zig")
    parser.add_argument("--llvm-mca", default=shutil.which("llvm-mca-19") or shutil.which("llvm-mca") or "")
    parser.add_argument("--all", action="store_true", help="smaller tiles too")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if not arguments.llvm_mca:
        parser.error("no llvm-mca found: install llvm-19")
    with tempfile.TemporaryDirectory() as folder:
        loops = [
            loop
            for family in TILES
            for loop in measure(family, arguments.compiler, arguments.llvm_mca, arguments.all, Path(folder))
        ]
    print(f"{'tile':<20} {'instructions':>12} {'per weight':>10}", *(f"{name:>16}" for name in PROCESSORS))
    for loop in loops:
        shares = (f"{loop.cycles[name]:8.2f} {loop.share(name):6.1%}" for name in PROCESSORS)
        print(
            f"{loop.tile:<20} {loop.instructions:>12} {loop.instructions_per_weight:>10.3f}",
            *(f"{share:>16}" for share in shares),
        )
    if arguments.json:
        rows = [asdict(loop) | {"share": {name: loop.share(name) for name in PROCESSORS}} for loop in loops]
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    for fault in faults(loops):
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults(loops) else 0


if __name__ == "__main__":
    sys.exit(main())
