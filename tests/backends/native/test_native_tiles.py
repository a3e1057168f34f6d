"""The C core's register tiles stay in registers on ARM, and cost the instructions that they are meant to."""

import importlib.util
import platform
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang", reason="needs the compiler of the package ziglang")
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "native_kernels.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("native_kernels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


#: Instructions of a kept column: multiply-adds, loads, and at most five for indices and the loop.
LIMITS = {
    "tile_1_12_1": (12, 24),
    "tile_2_8_2": (16, 26),
    "tile_4_6_4": (24, 33),
    "tile_8_3_8": (24, 33),
    "tile_8_3_0": (24, 33),
    "row_tile_f32_4_6": (24, 38),
    "row_tile_f32_2_6": (12, 25),
    "row_tile_f16_4_6": (24, 42),
}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="where zig's package is tested")
def test_sums_stay_in_registers(benchmark, tmp_path):
    loops = {}
    for family in benchmark.TILES:
        loops |= benchmark.inner_loops(family, "zig", tmp_path)
    for name, (multiply_adds, instructions) in LIMITS.items():
        assert benchmark.multiply_adds(loops[name]) == multiply_adds, name
        assert len(loops[name]) <= instructions, name
    assert {name: benchmark.stack_accesses(code) for name, code in loops.items()} == dict.fromkeys(loops, 0)


def test_a_loop_that_spills_is_seen(benchmark):
    lines = """f:
.LBB0_1:
\tldr\tq0, [x0], #16
\tfmla\tv1.4s, v0.4s, v2.s[0]
\tstr\tq1, [sp, #32]
\tb.ne\t.LBB0_1
\tret""".splitlines()
    code = benchmark.inner_loop(benchmark.functions(lines)["f"])
    assert [line.split()[0] for line in code] == ["ldr", "fmla", "str", "b.ne"]
    loop = benchmark.Loop(
        "spmm_chw", "tile_4_6_4", 4, 1, benchmark.stack_accesses(code), {"neoverse-n1": 1, "cortex-a57": 1}
    )
    assert benchmark.faults([loop])[0] == "tile_4_6_4 touches the stack 1 times"
