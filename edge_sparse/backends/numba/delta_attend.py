"""``delta_attend``: queries against keys that are summed up from their changes (DELTA_ATTENTION, second launch).

Tokens are taken in tiles of as many as a vector has lanes. For every tile the changes are expanded and added to the
running reference, the values widened, and, where a query sees them, exact keys copied; then every query head of the
kv head meets the tile while it is in the cache. So changes and values are read once for all queries of a work unit.
Only the bytes of changes that are 0 are saved: their products are computed, since a vector of 16 elements costs the
same with 7 of them missing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.activation import exponential
from edge_sparse.backends.numba.delta_store import HEADER
from edge_sparse.backends.numba.half_precision import load_halves
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import DType

__all__ = ["QUERY_TOKENS", "DeltaAttendArgument", "DeltaAttendKernel"]

#: Tokens of a run whose queries share a work unit.
QUERY_TOKENS = 16
#: Tokens between values that are read and those that are asked for: too far apart for a processor to foresee.
AHEAD = 48
_LOWEST = -1e30


class DeltaAttendArgument(enum.IntEnum):
    """Positions in the argument table; strides are distances of rows in elements. ``NUMBERS`` holds scale.

    ``SCRATCH`` has ``scratch_floats`` floats per work unit.
    """

    Q = 0
    Y = 1
    DELTAS = 2
    V_CACHE = 3
    POSITION = 4
    EXACT = 5
    MARKS = 6
    NUMBERS = 7
    SCRATCH = 8
    TOKENS = 9
    Q_STRIDE = 10
    Y_STRIDE = 11
    DELTAS_STRIDE = 12
    V_CACHE_STRIDE = 13
    EXACT_STRIDE = 14
    MARKS_STRIDE = 15
    MARKS_HEAD = 16
    SINKS = 17
    RING = 18
    KV_HEADS = 19
    GROUP = 20


@dataclass(frozen=True)
class _Unit:
    """What all parts of a work unit need: IR values."""

    kv_head: Any
    position: Any
    window: Any
    first_held: Any
    first: Any
    last: Any
    reference: Any
    values: Any
    exact: Any
    queries: Any
    sums: Any
    weights: Any


@dataclass(frozen=True)
class DeltaAttendKernel:
    """Emitter of the kernel. A work unit is a kv head and up to ``QUERY_TOKENS`` tokens of the run."""

    head_dim: int
    group: int
    lanes: int
    deltas: DType
    values: DType

    @property
    def name(self) -> str:
        """Name of the kernel."""
        types = f"{self.deltas.name.lower()}_{self.values.name.lower()}"
        return f"delta_attend_{types}_d{self.head_dim}_g{self.group}_l{self.lanes}"

    @property
    def padded(self) -> int:
        """Elements of a row in scratch memory, whole vectors."""
        return -(-self.head_dim // self.lanes) * self.lanes

    @property
    def scratch_floats(self) -> int:
        """Floats of scratch memory of a work unit; see ``_places``."""
        rows = 3 * self.lanes + 1 + 2 * QUERY_TOKENS * self.group
        return rows * self.padded + (2 * QUERY_TOKENS * self.group + 2) * self.lanes

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, a = k.b, DeltaAttendArgument
        with k.loop(k.begin, k.end) as number:
            unit = self._unit(k, number)
            self._begin(k, unit)
            deltas = self._at(k, a.DELTAS, self.deltas, b.mul(unit.kv_head, k.arg(a.DELTAS_STRIDE)))
            stop = b.add(unit.position, unit.last)
            with k.reduce(0, stop, [k.integer(0)], self.lanes) as (tile, ends, following):
                count = k.minimum(k.integer(self.lanes), b.sub(stop, tile))
                following[0] = self._sum_changes(k, unit, deltas, tile, count, ends[0])
                self._widen_values(k, unit, tile, count)
                lowest = self._first_exact(k, unit, unit.first)
                near = b.icmp_signed(">", b.add(tile, k.integer(self.lanes)), lowest)
                with b.if_then(b.or_(near, b.icmp_signed("<", tile, k.arg(a.SINKS)))):
                    self._copy_exact(k, unit, tile, count)
                start = k.maximum(unit.first, b.sub(tile, unit.position))
                with k.loop(start, unit.last) as token, k.loop(0, self.group) as head:
                    self._attend(k, unit, tile, token, head)
            self._finish(k, unit)

    # --- memory ---------------------------------------------------------------------------------------------------

    def _unit(self, k: KernelBuilder, number: Any) -> _Unit:
        b, a = k.b, DeltaAttendArgument
        kv_head, block = b.srem(number, k.arg(a.KV_HEADS)), b.sdiv(number, k.arg(a.KV_HEADS))
        first = b.mul(block, k.integer(QUERY_TOKENS))
        last = k.minimum(b.add(first, k.integer(QUERY_TOKENS)), k.arg(a.TOKENS))
        position = k.pointer(a.POSITION, k.i32)
        marks = k.at(k.pointer(a.MARKS, k.i32), b.mul(kv_head, k.arg(a.MARKS_HEAD)))
        scratch = k.at(k.pointer(a.SCRATCH), b.mul(number, k.integer(self.scratch_floats)))
        rows, tile = QUERY_TOKENS * self.group * self.padded, self.lanes * self.padded
        places, at = [], 0
        for size in (tile + self.padded, tile, tile, rows, rows):
            places.append(k.at(scratch, at))
            at += size
        window = k.maximum(k.load_int(position, 1), k.integer(1))
        held = k.load_int(marks, 1)
        # The exact keys come last of the three tiles: those of the references begin behind the row that is carried.
        references, exact, values, queries, sums = places
        return _Unit(
            kv_head,
            k.load_int(position, 0),
            window,
            held,
            first,
            last,
            references,
            values,
            exact,
            queries,
            sums,
            k.at(scratch, at),
        )

    def _at(self, k: KernelBuilder, argument: int, dtype: DType, offset: Any) -> Any:
        return k.at(k.pointer(argument, k.f16 if dtype is DType.F16 else k.f32), offset)

    def _row(self, k: KernelBuilder, token: Any, head: Any) -> Any:
        """Return the number of a query head among the unit's."""
        return k.b.add(k.b.mul(token, k.integer(self.group)), head)

    def _begin(self, k: KernelBuilder, unit: _Unit) -> None:
        """Scale and pad the queries; clear sums, maxima and the reference."""
        b, a, lanes = k.b, DeltaAttendArgument, self.lanes
        scale = k.load(k.pointer(a.NUMBERS))
        zero = k.splat(0.0, lanes)
        for at in range(0, self.padded, lanes):
            k.store(zero, k.at(unit.reference, at), lanes)
        columns = b.mul(unit.kv_head, k.integer(self.group * self.head_dim))
        with k.loop(0, b.sub(unit.last, unit.first)) as token, k.loop(0, self.group) as head:
            row = self._row(k, token, head)
            place = b.mul(row, k.integer(self.padded))
            for at in range(0, self.padded, lanes):
                k.store(zero, k.at(unit.queries, place, at), lanes)
                k.store(zero, k.at(unit.sums, place, at), lanes)
            source = k.at(k.pointer(a.Q), b.mul(b.add(unit.first, token), k.arg(a.Q_STRIDE)), columns)
            source = k.at(source, b.mul(head, k.integer(self.head_dim)))
            for at, count in self._parts():
                value = b.fmul(k.load(k.at(source, at), count), k.splat(scale, count))
                k.store(value, k.at(unit.queries, place, at), count)
            weights = k.at(unit.weights, b.mul(row, k.integer(2 * lanes)))
            k.store(zero, weights, lanes)
            k.store(k.splat(_LOWEST, 1), k.at(weights, lanes))

    def _parts(self) -> list[tuple[int, int]]:
        """Offset and length of the vectors and single elements of a row without padding."""
        whole = self.head_dim - self.head_dim % self.lanes
        return [(at, self.lanes) for at in range(0, whole, self.lanes)] + [
            (at, 1) for at in range(whole, self.head_dim)
        ]

    # --- a tile of tokens -----------------------------------------------------------------------------------------

    def _sum_changes(self, k: KernelBuilder, unit: _Unit, deltas: Any, tile: Any, count: Any, end: Any) -> Any:
        """Write the references of a tile behind the one before it; return where the changes of the next tile begin."""
        b, a, lanes = k.b, DeltaAttendArgument, self.lanes
        marks = k.at(k.pointer(a.MARKS, k.i32), b.mul(unit.kv_head, k.arg(a.MARKS_HEAD)))
        start = b.select(b.icmp_signed("==", tile, k.integer(0)), k.integer(0), k.integer(lanes * self.padded))
        held = [k.load(k.at(unit.reference, start, at), lanes) for at in range(0, self.padded, lanes)]
        for number, vector in enumerate(held):
            k.store(vector, k.at(unit.reference, number * lanes), lanes)
        halves = k.scratch(k.ir.IntType(16), 2 * lanes)
        with k.reduce(0, count, [end, *held]) as (token, carried, following):
            row = b.add(b.add(tile, token), k.integer(HEADER))
            mark = k.at(marks, b.mul(row, k.arg(a.MARKS_STRIDE)), 1)
            target = k.at(unit.reference, b.mul(b.add(token, k.integer(1)), k.integer(self.padded)))
            place = carried[0]
            for number in range(len(held)):
                bits = self._bits(k, mark, number * lanes)
                change = self._expanded(k, k.at(deltas, place), bits, halves)
                following[1 + number] = b.fadd(carried[1 + number], change)
                k.store(following[1 + number], k.at(target, number * lanes), lanes)
                place = b.add(place, b.zext(k.intrinsic("llvm.ctpop.i32", k.i32, bits), k.i64))
            following[0] = place
        return carried[0]

    def _bits(self, k: KernelBuilder, mark: Any, first: int) -> Any:
        """Return which of a vector's elements changed; none beyond ``head_dim``, whatever the state holds."""
        word = k.b.load(k.at(mark, first // 32))
        shifted = k.b.lshr(word, k.i32(first % 32))
        return k.b.and_(shifted, k.i32((1 << min(self.lanes, self.head_dim - first)) - 1))

    def _expanded(self, k: KernelBuilder, source: Any, bits: Any, halves: Any) -> Any:
        """Return a vector with the next stored changes where bits are set, and 0 elsewhere."""
        b, lanes = k.b, self.lanes
        mask = b.bitcast(b.trunc(bits, k.ir.IntType(lanes)), k.ir.VectorType(k.i1, lanes))
        if self.deltas is DType.F32:
            kind = k.vector_type(lanes)
            zero = k.splat(0.0, lanes)
            return k.intrinsic(f"llvm.masked.expandload.v{lanes}f32", kind, source, mask, zero)
        i16 = k.ir.IntType(16)
        kind = k.ir.VectorType(i16, lanes)
        zero = k.ir.Constant(kind, [0] * lanes)
        source = b.bitcast(source, i16.as_pointer())
        value = k.intrinsic(f"llvm.masked.expandload.v{lanes}i16", kind, source, mask, zero)
        b.store(value, b.bitcast(halves, kind.as_pointer())).align = 2
        return load_halves(k, halves, lanes)

    def _widen_values(self, k: KernelBuilder, unit: _Unit, tile: Any, count: Any) -> None:
        """Copy the values of a tile as float32; rows of later tokens are 0."""
        b, a = k.b, DeltaAttendArgument
        column = b.mul(unit.kv_head, k.integer(self.head_dim))
        zero = k.splat(0.0, self.lanes)
        with k.loop(0, self.lanes) as token:
            target = k.at(unit.values, b.mul(token, k.integer(self.padded)))
            there = b.icmp_signed("<", token, count)
            with b.if_else(there) as (stored, absent):
                with stored:
                    place = b.add(b.mul(b.add(tile, token), k.arg(a.V_CACHE_STRIDE)), column)
                    source = self._at(k, a.V_CACHE, self.values, place)
                    ahead = k.at(source, b.mul(k.integer(AHEAD), k.arg(a.V_CACHE_STRIDE)))
                    for at in range(0, self.head_dim, 64 // self.values.numpy.itemsize):
                        k.prefetch(k.at(ahead, at))
                    if self.padded != self.head_dim:
                        k.store(zero, k.at(target, self.padded - self.lanes), self.lanes)
                    for at, lanes in self._parts():
                        pointer = k.at(source, at)
                        half = self.values is DType.F16
                        value = load_halves(k, pointer, lanes) if half else k.load(pointer, lanes)
                        k.store(value, k.at(target, at), lanes)
                with absent:
                    for at in range(0, self.padded, self.lanes):
                        k.store(zero, k.at(target, at), self.lanes)

    def _copy_exact(self, k: KernelBuilder, unit: _Unit, tile: Any, count: Any) -> None:
        """Copy what the ring and the sinks hold for a tile; rows that hold another token's key are not used."""
        b, a = k.b, DeltaAttendArgument
        column = b.mul(unit.kv_head, k.integer(self.head_dim))
        sinks = k.arg(a.SINKS)
        with k.loop(0, count) as number:
            token = b.add(tile, number)
            ring = b.add(b.add(sinks, k.integer(1)), b.srem(token, k.arg(a.RING)))
            row = b.select(b.icmp_signed("<", token, sinks), b.add(token, k.integer(1)), ring)
            source = k.at(k.pointer(a.EXACT), b.mul(row, k.arg(a.EXACT_STRIDE)), column)
            target = k.at(unit.exact, b.mul(number, k.integer(self.padded)))
            if self.padded != self.head_dim:
                k.store(k.splat(0.0, self.lanes), k.at(target, self.padded - self.lanes), self.lanes)
            for at, lanes in self._parts():
                k.store(k.load(k.at(source, at), lanes), k.at(target, at), lanes)

    # --- one query head and a tile --------------------------------------------------------------------------------

    def _first_exact(self, k: KernelBuilder, unit: _Unit, token: Any) -> Any:
        """Return the first token of the block of a query, or the first whose exact key is still there."""
        at = k.b.add(unit.position, token)
        return k.maximum(k.b.sub(at, k.b.srem(at, unit.window)), unit.first_held)

    def _attend(self, k: KernelBuilder, unit: _Unit, tile: Any, token: Any, head: Any) -> None:
        """Update maximum, weights and weighted values of a query head by the tokens of a tile."""
        b, lanes = k.b, self.lanes
        row = self._row(k, b.sub(token, unit.first), head)
        place = b.mul(row, k.integer(self.padded))
        weights = k.at(unit.weights, b.mul(row, k.integer(2 * lanes)))
        tokens = k.splat(b.trunc(tile, k.i32), lanes)
        tokens = b.add(tokens, k.ir.Constant(tokens.type, list(range(lanes))))
        own = k.splat(b.trunc(b.add(unit.position, token), k.i32), lanes)
        seen = b.icmp_signed("<=", tokens, own)
        scores = self._scores(k, unit, tile, tokens, token, k.at(unit.queries, place))
        scores = b.select(seen, scores, k.splat(_LOWEST, lanes))
        before = k.load(k.at(weights, lanes))
        highest = k.lane_maximum(scores, lanes)
        sums = k.at(unit.sums, place)
        with b.if_then(b.fcmp_unordered(">", highest, before)):
            factor = exponential(k, b.fsub(before, highest), 1)
            k.store(highest, k.at(weights, lanes))
            for pointer in (weights, *(k.at(sums, at) for at in range(0, self.padded, lanes))):
                k.store(b.fmul(k.load(pointer, lanes), k.splat(factor, lanes)), pointer, lanes)
        maximum = k.load(k.at(weights, lanes))
        powers = exponential(k, b.fsub(scores, k.splat(maximum, lanes)), lanes)
        powers = b.select(seen, powers, k.splat(0.0, lanes))
        k.store(b.fadd(k.load(weights, lanes), powers), weights, lanes)
        # A number from memory goes to all lanes for nothing, one from another lane does not.
        spread = k.at(unit.weights, k.integer(2 * QUERY_TOKENS * self.group * lanes))
        k.store(powers, spread, lanes)
        total = [k.load(k.at(sums, at), lanes) for at in range(0, self.padded, lanes)]
        for lane in range(lanes):
            weight = k.splat(k.load(k.at(spread, lane)), lanes)
            for number in range(len(total)):
                value = k.load(k.at(unit.values, lane * self.padded + number * lanes), lanes)
                total[number] = k.multiply_add(weight, value, total[number])
        for number, vector in enumerate(total):
            k.store(vector, k.at(sums, number * lanes), lanes)

    def _scores(self, k: KernelBuilder, unit: _Unit, tile: Any, tokens: Any, token: Any, query: Any) -> Any:
        """Return the scores of a tile: from references, from exact keys, or from both where the tile has both."""
        b, lanes = k.b, self.lanes
        sinks, lowest = k.arg(DeltaAttendArgument.SINKS), self._first_exact(k, unit, token)
        end = b.add(tile, k.integer(lanes))
        exact = b.or_(
            b.icmp_signed("<", tokens, k.splat(b.trunc(sinks, k.i32), lanes)),
            b.icmp_signed(">=", tokens, k.splat(b.trunc(lowest, k.i32), lanes)),
        )
        some_exact = b.or_(b.icmp_signed("<", tile, sinks), b.icmp_signed(">", end, lowest))
        some_stored = b.and_(b.icmp_signed(">", end, sinks), b.icmp_signed("<", tile, lowest))
        one, two = k.integer(1), k.integer(2)
        first = b.select(some_stored, k.integer(0), one)
        vectors = [k.load(k.at(query, at), lanes) for at in range(0, self.padded, lanes)]
        with k.reduce(first, b.select(some_exact, two, one), [k.splat(0.0, lanes)]) as (kind, carried, following):
            # The references begin one row behind their place, and the exact keys follow them.
            keys = k.at(unit.reference, b.mul(kind, k.integer(lanes * self.padded)), self.padded)
            products = [self._product(k, vectors, k.at(keys, lane * self.padded)) for lane in range(lanes)]
            wanted = b.icmp_signed("==", kind, one)
            mine = b.xor(exact, b.not_(k.splat(wanted, lanes)))
            following[0] = b.select(mine, _across(k, products), carried[0])
        return carried[0]

    def _product(self, k: KernelBuilder, query: list[Any], key: Any) -> Any:
        total = k.b.fmul(query[0], k.load(key, self.lanes))
        for number in range(1, len(query)):
            total = k.multiply_add(query[number], k.load(k.at(key, number * self.lanes), self.lanes), total)
        return total

    def _finish(self, k: KernelBuilder, unit: _Unit) -> None:
        """Divide the weighted values by the weights."""
        b, a, lanes = k.b, DeltaAttendArgument, self.lanes
        columns = b.mul(unit.kv_head, k.integer(self.group * self.head_dim))
        with k.loop(0, b.sub(unit.last, unit.first)) as token, k.loop(0, self.group) as head:
            row = self._row(k, token, head)
            weight = k.lane_sum(k.load(k.at(unit.weights, b.mul(row, k.integer(2 * lanes))), lanes), lanes)
            target = k.at(k.pointer(a.Y), b.mul(b.add(unit.first, token), k.arg(a.Y_STRIDE)), columns)
            target = k.at(target, b.mul(head, k.integer(self.head_dim)))
            for at, count in self._parts():
                value = k.load(k.at(unit.sums, b.mul(row, k.integer(self.padded)), at), count)
                k.store(b.fdiv(value, k.splat(weight, count)), k.at(target, at), count)


def _across(k: KernelBuilder, vectors: list[Any]) -> Any:
    """Return the sums over the lanes of as many vectors as they have lanes, one sum per lane."""
    lanes = len(vectors)
    while len(vectors) > 1:
        # Every vector holds parts of lanes / len(vectors) sums, each in len(vectors) neighbouring lanes.
        part = len(vectors)
        low = [lane for lane in range(2 * lanes) if lane % part < part // 2]
        kind = k.ir.VectorType(k.i32, lanes)
        masks = [k.ir.Constant(kind, [lane + shift for lane in low]) for shift in (0, part // 2)]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [k.b.fadd(*(k.b.shuffle_vector(a, c, mask) for mask in masks)) for a, c in pairs]
    return vectors[0]
