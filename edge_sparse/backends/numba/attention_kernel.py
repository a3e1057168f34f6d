"""``attend``: softmax(q K) V of the queries of one kv head over its cache, block by block, without a matrix of scores.

A work unit is (block of query tokens, kv head). Its queries, all heads that share the kv head for all tokens of the
block, go through the cache together, so that a key or value is read from memory once. Per block of tokens and chunk of
rows (a row is one query): scores, the largest so far, probabilities relative to it, then the weighted values; what was
summed before is scaled down when a larger score appears (online softmax). Powers are of 2; log2(e) is in the queries.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.attention_layout import AttentionLayout
from edge_sparse.backends.numba.simd import ROUNDING, KernelBuilder
from edge_sparse.plan import CACHE_BLOCK, DType

__all__ = ["AttendArgument", "AttendKernel", "Rows", "power_of_two"]

#: Vectors of scores that a row's softmax holds in registers: the tokens of a block, divided by the lanes.
VECTORS = 8
#: Score of what a query must not see, and first value of the largest score: finite, so that differences are numbers.
_NEVER = -1e30
# 2^r on |r| <= 1/2, lowest power first; relative error 7.5e-8.
_POWER = (1.0000000716546, 0.6931469670631, 0.2402211972400, 0.0555071327609, 0.0096755413278, 0.0013276471155)


class AttendArgument(enum.IntEnum):
    """Positions in the argument table; strides are the distance of tokens. ``NUMBERS`` holds scale * log2(e)."""

    Q = 0
    Y = 1
    K_CACHE = 2
    V_CACHE = 3
    K_SCALES = 4
    V_SCALES = 5
    POSITION = 6
    TOKENS = 7
    CAPACITY = 8
    KV_HEADS = 9
    Q_STRIDE = 10
    Y_STRIDE = 11
    NUMBERS = 12


def power_of_two(k: KernelBuilder, x: Any, lanes: int) -> Any:
    """Return 2^x for x <= 0 with a relative error below 2e-7; below -126 it is 2^-126."""
    b, magic = k.b, k.splat(ROUNDING, lanes)
    x = k.clamp_below(x, k.splat(-126.0, lanes))
    shifted = b.fadd(x, magic)
    r = b.fsub(x, b.fsub(shifted, magic))
    value = k.splat(_POWER[-1], lanes)
    for coefficient in _POWER[-2::-1]:
        value = k.multiply_add(value, r, k.splat(coefficient, lanes))
    kind = k.ir.VectorType(k.i32, lanes) if lanes > 1 else k.i32
    exponent = b.shl(b.bitcast(shifted, kind), k.splat(k.i32(23), lanes))
    return b.bitcast(b.add(b.bitcast(value, kind), exponent), value.type)


@dataclass
class Rows:
    """Stack memory of a unit's rows, ``slots`` of them, and of the chunk that is worked on.

    ``sums`` [slot][dim]; ``largest``, ``total`` [slot]; ``scores`` [row of the chunk][token of the block], which become
    probabilities; ``decay``, ``factor`` [row of the chunk]: what earlier and new sums are multiplied by.
    """

    sums: Any
    largest: Any
    total: Any
    scores: Any
    decay: Any
    factor: Any


@dataclass(frozen=True)
class AttendKernel:
    """Emitter of one kernel: ``group`` query heads per kv head, ``tokens`` queries per unit, ``rows`` per chunk."""

    layout: AttentionLayout
    group: int
    tokens: int
    rows: int
    lanes: int

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        return f"attend_{self.layout.name}_g{self.group}_t{self.tokens}_r{self.rows}_l{self.lanes}"

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return VECTORS * self.lanes

    @property
    def slots(self) -> int:
        """Rows of a unit, rounded up to whole chunks."""
        return -(-self.group * self.tokens // self.rows) * self.rows

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        from edge_sparse.backends.numba.attention_products import FloatProducts, IntegerProducts

        products = (IntegerProducts if self.layout.dot else FloatProducts)(self, k)
        slots, chunk = self.slots, self.rows
        sizes = (slots * self.layout.head_dim, slots, slots, chunk * self.block, chunk, chunk)
        memory = Rows(*(k.scratch(k.f32, size) for size in sizes))
        with k.loop(k.begin, k.end) as unit:
            self._unit(k, unit, memory, products)

    def _unit(self, k: KernelBuilder, unit: Any, memory: Rows, products: Any) -> None:
        b, dims, step = k.b, k.integer(self.layout.head_dim), self.layout.vector(self.lanes)
        kv_heads, capacity = k.arg(AttendArgument.KV_HEADS), k.arg(AttendArgument.CAPACITY)
        head, first = b.srem(unit, kv_heads), b.mul(b.sdiv(unit, kv_heads), k.integer(self.tokens))
        tokens = k.minimum(k.integer(self.tokens), b.sub(k.arg(AttendArgument.TOKENS), first))
        rows = b.mul(tokens, k.integer(self.group))
        before = b.add(k.load_int(k.pointer(AttendArgument.POSITION, k.i32), 0), first)
        limit = b.add(before, tokens)
        width = b.mul(head, k.integer(self.group * self.layout.head_dim))
        q = k.at(k.pointer(AttendArgument.Q), b.mul(first, k.arg(AttendArgument.Q_STRIDE)), width)
        y = k.at(k.pointer(AttendArgument.Y), b.mul(first, k.arg(AttendArgument.Y_STRIDE)), width)
        part = b.mul(head, capacity)
        products.enter(b.mul(part, dims), part)
        with k.loop(0, rows, self.rows) as chunk, k.loop(0, self.rows) as row:
            slot = b.add(chunk, row)
            k.store(k.splat(_NEVER, 1), k.at(memory.largest, slot))
            k.store(k.splat(0.0, 1), k.at(memory.total, slot))
            with k.loop(0, dims, step) as dim:
                k.store(k.splat(0.0, step), k.at(memory.sums, b.mul(slot, dims), dim), step)
            products.query(k.at(q, self._place(k, slot, rows, AttendArgument.Q_STRIDE)), slot)
        with k.loop(0, limit, self.block) as start, k.loop(0, rows, self.rows) as chunk:
            count = k.minimum(k.integer(self.block), b.sub(limit, start))
            products.scores(memory, chunk, start, count)
            with k.loop(0, self.rows) as row:
                token = b.sdiv(self._row(k, b.add(chunk, row), rows), k.integer(self.group))
                visible = b.add(before, b.add(token, k.integer(1)))
                self._softmax(k, memory, products, b.add(chunk, row), row, start, visible, limit)
            products.values(memory, chunk, start, count)
        with k.loop(0, rows) as row:
            factor = b.fdiv(k.splat(1.0, 1), k.load(k.at(memory.total, row)))
            line = k.at(y, self._place(k, row, rows, AttendArgument.Y_STRIDE))
            with k.loop(0, dims, step) as dim:
                value = k.load(k.at(memory.sums, b.mul(row, dims), dim), step)
                k.store(b.fmul(value, k.splat(factor, step)), k.at(line, dim), step)

    def _row(self, k: KernelBuilder, slot: Any, rows: Any) -> Any:
        """Return the row of a slot: slots that fill up the last chunk compute the last row once more."""
        return k.minimum(slot, k.b.sub(rows, k.integer(1)))

    def _place(self, k: KernelBuilder, slot: Any, rows: Any, stride: AttendArgument) -> Any:
        """Return where a row begins in q or y, from the unit's first row."""
        b, row = k.b, self._row(k, slot, rows)
        token, head = b.sdiv(row, k.integer(self.group)), b.srem(row, k.integer(self.group))
        return b.add(b.mul(token, k.arg(stride)), b.mul(head, k.integer(self.layout.head_dim)))

    def _softmax(
        self, k: KernelBuilder, memory: Rows, products: Any, slot: Any, row: Any, start: Any, visible: Any, limit: Any
    ) -> None:
        """Make a row's scores probabilities relative to its largest score so far."""
        b, lanes = k.b, self.lanes
        line = k.at(memory.scores, b.mul(row, k.integer(self.block)))
        kind = k.ir.VectorType(k.i32, lanes)
        numbers = k.ir.Constant(kind, list(range(lanes)))
        seen = k.splat(b.trunc(b.sub(visible, start), k.i32), lanes)
        scaled = self.layout.dtype is DType.S8
        # A vector past the last token reads scales that are there; what it computes is masked.
        block = k.integer(CACHE_BLOCK)
        last = b.sub(b.mul(b.sdiv(b.add(limit, k.integer(CACHE_BLOCK - 1)), block), block), k.integer(lanes))
        places = [k.minimum(b.add(start, k.integer(v * lanes)), last) for v in range(VECTORS)]
        scores = []
        for v in range(VECTORS):
            value = k.load(k.at(line, v * lanes), lanes)
            if scaled:
                value = b.fmul(b.fmul(value, products.key_scales(places[v])), k.splat(products.row_factor(slot), lanes))
            mask = b.icmp_signed("<", b.add(numbers, k.splat(k.i32(v * lanes), lanes)), seen)
            scores.append(b.select(mask, value, k.splat(_NEVER, lanes)))
        before = k.load(k.at(memory.largest, slot))
        largest = k.clamp_below(before, k.lane_maximum(_tree(scores, k.clamp_below), lanes))
        powers = [power_of_two(k, b.fsub(value, k.splat(largest, lanes)), lanes) for value in scores]
        decay = power_of_two(k, b.fsub(before, largest), 1)
        total = k.multiply_add(k.load(k.at(memory.total, slot)), decay, k.lane_sum(_tree(powers, b.fadd), lanes))
        k.store(largest, k.at(memory.largest, slot))
        k.store(total, k.at(memory.total, slot))
        k.store(decay, k.at(memory.decay, row))
        if scaled:
            powers = [b.fmul(value, products.value_scales(place)) for value, place in zip(powers, places, strict=True)]
        products.probabilities(memory, powers, line, row)


def _tree(values: list[Any], join: Any) -> Any:
    """Join values pairwise, so that few wait for each other."""
    while len(values) > 1:
        values = [join(a, c) for a, c in zip(values[::2], values[1::2], strict=True)]
    return values[0]
