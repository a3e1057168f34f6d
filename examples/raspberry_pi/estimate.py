"""Estimate the least time that a model can take on a Raspberry Pi, from its file alone.

    python estimate.py mobilenet.egs --threads 1,4
    python estimate.py llama.egs

An estimate, not a measurement: a run cannot take less than its float32 multiply-adds at the rate of the inner loop, nor
less than weights that no cache holds take to come from memory. Steps that multiply nothing and waiting come on top;
products of integers are not counted. The rates:

- multiply-adds a cycle: llvm-mca 19 on the inner loop of the gs4x1 kernel with 24 pixels (96 float32 multiply-adds a
  kept group column): 24.1 cycles for Cortex-A72, 12.1 for Neoverse N1, which stands in for Cortex-A76;
- clock: 1.5 GHz (Raspberry Pi 4B; 1.8 with a newer board) and 2.4 GHz (5);
- memory: what the bus can move at most, 32 bits of LPDDR4-3200 and LPDDR4X-4267. Programs get less. The last cache has
  1 MiB (4B) and 2 MiB (5).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import edge_sparse as es
from edge_sparse.format.reader import read_model
from edge_sparse.plan import DType, Model, Op, Plan


@dataclass(frozen=True)
class Board:
    """What decides the speed of a board."""

    name: str
    hertz: float
    multiply_adds_a_cycle: float
    memory_bytes_a_second: float
    cache_bytes: int


BOARDS = (
    Board("Raspberry Pi 4B", 1.5e9, 96 / 24.1, 4 * 3200e6, 1 << 20),
    Board("Raspberry Pi 5", 2.4e9, 96 / 12.1, 4 * 4267e6, 2 << 20),
)


def multiply_adds(model: Model, plan: Plan, tokens: int) -> int:
    """Return the float32 multiply-adds of kept weights in one run; in a decoder's plan for some tokens."""
    total = 0
    for step in plan.steps:
        y = plan.tensors[step.outputs[0]]
        size = y.size // y.shape[0] * tokens if y.symbol_axis == 0 else y.size
        if step.op is Op.SPMM:
            matrix = model.matrices[int(step.attributes["matrix"])]
            if matrix.dtype in (DType.F32, DType.F16):
                total += matrix.kept_weights * (size // matrix.rows)
        elif step.op is Op.DWCONV:
            total += size * int(step.attributes["kernel_h"]) * int(step.attributes["kernel_w"])
    return total


def least_seconds(work: int, weight_bytes: int, board: Board, threads: int) -> tuple[float, str]:
    """Return the larger of both limits, and which it is; 0 where neither says anything."""
    arithmetic = work / (board.hertz * board.multiply_adds_a_cycle * threads)
    memory = weight_bytes / board.memory_bytes_a_second if weight_bytes > board.cache_bytes else 0.0
    return max((arithmetic, "arithmetic"), (memory, "memory"))


def describe(seconds: float, decoder: bool) -> str:
    """Return the limit in words."""
    if not seconds:
        return "no estimate: integer weights that fit the cache"
    return f"{1 / seconds:.1f} tokens/s at most" if decoder else f"{1e3 * seconds:.3f} ms at least"


def main() -> int:
    """Print a table of one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an .egs file")
    parser.add_argument("-t", "--threads", default="1,4", help="counts, separated by commas")
    options = parser.parse_args()
    try:
        model = read_model(options.model)
    except es.EdgeSparseError as error:
        print(error, file=sys.stderr)
        return 1
    decoder = any(plan.name == "generate" for plan in model.plans)
    plan = model.plan("generate" if decoder else "")
    work, size = multiply_adds(model, plan, 1), options.model.stat().st_size
    print(f"{work / 1e6:.2f} M float32 multiply-adds of kept weights, file of {size / 2**20:.2f} MiB")
    for board in BOARDS:
        for threads in (int(count) for count in options.threads.split(",")):
            seconds, limit = least_seconds(work, size, board, threads)
            speed = describe(seconds, decoder)
            print(f"{board.name}, {threads} thread(s): {speed}, limited by {limit} (estimate)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
