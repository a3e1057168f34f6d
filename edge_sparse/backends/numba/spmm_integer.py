"""``spmm_s4_gsGx1_rows``, ``spmm_s8_...``: integer weights x rows of quantised tokens, output rows in the vector lanes.

A strip's weights pass once while all tokens are computed: for every tile of tokens, the strip's kept columns of the
quantised rows are packed together (not for dense matrices), then every ``segment`` columns are summed in integers and
added to float32 sums with the segment's scales.

Instructions multiply unsigned by signed bytes. For one token weights are unsigned, and every integer sum begins with
minus their offset times the sum of x; for several tokens x is unsigned, and it begins with minus x's offset times the
sum of the weights, which all tokens share.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.integer_gather import gather_strip, sum_segments
from edge_sparse.backends.numba.integer_strip import IntegerStrip
from edge_sparse.backends.numba.quantise_rows import quantised_stride
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Epilogue

__all__ = ["IntegerArgument", "SpmmInteger"]


class IntegerArgument(enum.IntEnum):
    """Positions in the kernel's argument table.

    ``STRIPS`` holds (first granule, first row of scales, kept columns) of every strip as int64; ``BITMAP`` the kept
    columns in whole 64-bit words. ``Y`` and ``RESIDUAL`` are float32 with strides in elements.
    """

    INTEGERS = 0
    ROW_SCALES = 1
    SUMS = 2
    VALUES = 3
    SCALES = 4
    STRIPS = 5
    BITMAP = 6
    BIAS = 7
    Y = 8
    Y_STRIDE = 9
    RESIDUAL = 10
    RESIDUAL_STRIDE = 11
    TOKENS = 12


@dataclass(frozen=True)
class SpmmInteger:
    """Emitter of one kernel; work units are strips.

    Attributes
    ----------
    strip : IntegerStrip
    token_tiles : tuple of int
        Tokens that are computed together, the most first; the last is 1.
    epilogue : Epilogue
    """

    strip: IntegerStrip
    token_tiles: tuple[int, ...]
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        strip = self.strip
        tiles = "_".join(map(str, self.token_tiles)) + ("s" if strip.several else "")
        kind = "sparse" if strip.sparse else "dense"
        return (
            f"spmm_{strip.dtype.name.lower()}_gs{strip.group}x1_rows_{kind}_c{strip.columns}_s{strip.segment}"
            f"_t{tiles}_{strip.dot.name}_{self.epilogue.name}"
        )

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        stride, tile = quantised_stride(self.strip.columns), self.token_tiles[0]
        packed = self._stack(k, k.i8, tile * stride) if self.strip.sparse else None
        own = self.strip.several or self.strip.sparse
        sums = self._stack(k, k.i32, self.strip.segments * self.strip.group + 1) if own and self.strip.offset else None
        with k.loop(k.begin, k.end) as strip:
            record = k.at(k.pointer(IntegerArgument.STRIPS, k.i64), k.b.mul(strip, k.integer(3)))
            granules = k.b.mul(k.load_int(record, 0), k.integer(4 * self.strip.group))
            values = k.at(k.pointer(IntegerArgument.VALUES, k.i8), granules)
            first = k.b.mul(k.load_int(record, 1), k.integer(self.strip.group))
            scales = k.at(k.pointer(IntegerArgument.SCALES, k.f16), first)
            weights = (values, scales, k.load_int(record, 2))
            if self.strip.several and sums is not None:
                self.strip.sum_weights(k, values, weights[2], sums)
            self._over_tokens(k, strip, weights, packed, sums)

    def _stack(self, k: KernelBuilder, kind: Any, count: int) -> Any:
        with k.b.goto_entry_block():
            memory = k.b.alloca(kind, count)
        memory.align = 64
        return memory

    def _over_tokens(self, k: KernelBuilder, strip: Any, weights: tuple[Any, Any, Any], packed: Any, sums: Any) -> None:
        """Cover all tokens with the largest tiles that fit; the last tile moves back and computes some again."""
        b, tokens = k.b, k.arg(IntegerArgument.TOKENS)
        upper: Any = None
        for tile in self.token_tiles:
            fits = b.icmp_signed(">=", tokens, k.integer(tile))
            chosen = fits if upper is None else b.and_(fits, b.icmp_signed("<", tokens, k.integer(upper)))
            upper = tile
            with b.if_then(chosen), k.loop(0, tokens, tile) as at:
                first = k.minimum(at, b.sub(tokens, k.integer(tile)))
                self._tile(k, strip, weights, first, tile, packed, sums)

    def _tile(
        self, k: KernelBuilder, strip: Any, weights: tuple[Any, Any, Any], first: Any, tile: int, packed: Any, sums: Any
    ) -> None:
        b, stride = k.b, quantised_stride(self.strip.columns)
        count = weights[2]
        x = k.at(k.pointer(IntegerArgument.INTEGERS, k.i8), b.mul(first, k.integer(stride)))
        if self.strip.sparse:
            words = -(-self.strip.columns // 64)
            bitmap = k.at(k.pointer(IntegerArgument.BITMAP, k.i64), b.mul(strip, k.integer(words)))
            rows, targets = ([k.at(base, token * stride) for token in range(tile)] for base in (x, packed))
            gather_strip(k, self.strip.dot, rows, bitmap, words, targets, count)
            if not self.strip.several and sums is not None:
                sum_segments(k, packed, sums, count, self.strip.segment or stride - 64, -self.strip.offset)
            x = packed
        elif not self.strip.several and self.strip.offset:
            sums = k.at(k.pointer(IntegerArgument.SUMS, k.i32), b.mul(first, k.integer(self.strip.segments)))
        totals = self.strip.sums(k, *weights, x, sums, tile)
        self._finish(k, strip, first, tile, totals)

    def _finish(self, k: KernelBuilder, strip: Any, first: Any, tile: int, totals: list[Any]) -> None:
        """Scale by the tokens, add bias and residual, activate, store."""
        b, lanes = k.b, self.strip.dot.lanes
        row = b.mul(strip, k.integer(self.strip.group))
        for token in range(tile):
            number = b.add(first, k.integer(token))
            step = k.splat(k.load(k.at(k.pointer(IntegerArgument.ROW_SCALES), number)), lanes)
            y = k.at(k.pointer(IntegerArgument.Y), b.mul(number, k.arg(IntegerArgument.Y_STRIDE)), row)
            other = k.at(
                k.pointer(IntegerArgument.RESIDUAL), b.mul(number, k.arg(IntegerArgument.RESIDUAL_STRIDE)), row
            )
            for vector in range(self.strip.vectors):
                value = b.fmul(totals[token * self.strip.vectors + vector], step)
                if self.epilogue.bias:
                    bias = k.at(k.pointer(IntegerArgument.BIAS), row, vector * lanes)
                    value = b.fadd(value, k.load(bias, lanes))
                if self.epilogue.residual:
                    value = b.fadd(value, k.load(k.at(other, vector * lanes), lanes))
                k.store(self.epilogue.apply(k, value, lanes), k.at(y, vector * lanes), lanes)
