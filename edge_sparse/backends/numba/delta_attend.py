"""``delta_attend``: queries against keys that are summed up from their changes (DELTA_ATTENTION, second launch).

Tokens are taken in tiles of as many as a vector has lanes. For every tile the changes are expanded and added to the
running reference, the values widened, and, where a query sees them, exact keys copied; then every query head of the
kv head meets the tile while it is in the cache. So changes and values are read once for all queries of a work unit.
Only the bytes of changes that are 0 are saved: their products are computed, since a vector of 16 elements costs the
same with 7 of them missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.activation import exponential
from edge_sparse.backends.numba.delta_tile import (
    DeltaAttendArgument,
    DeltaShape,
    DeltaUnit,
    copy_exact,
    sum_changes,
    widen_values,
)
from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["QUERY_TOKENS", "DeltaAttendKernel"]

#: Tokens of a run whose queries share a work unit.
QUERY_TOKENS = 16
_LOWEST = -1e30


@dataclass(frozen=True)
class DeltaAttendKernel:
    """Emitter of the kernel. A work unit is a kv head and up to ``QUERY_TOKENS`` tokens of the run."""

    shape: DeltaShape

    @property
    def name(self) -> str:
        """Name of the kernel."""
        types = f"{self.shape.deltas.name.lower()}_{self.shape.values.name.lower()}"
        return f"delta_attend_{types}_d{self.shape.head_dim}_g{self.shape.group}_l{self.shape.lanes}"

    @property
    def scratch_floats(self) -> int:
        """Floats of scratch memory of a work unit; see ``_unit``."""
        rows = 3 * self.shape.lanes + 1 + 2 * QUERY_TOKENS * self.shape.group
        return rows * self.shape.padded + (2 * QUERY_TOKENS * self.shape.group + 2) * self.shape.lanes

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, a = k.b, DeltaAttendArgument
        with k.loop(k.begin, k.end) as number:
            unit = self._unit(k, number)
            self._begin(k, unit)
            deltas = self.shape.at(k, a.DELTAS, self.shape.deltas, b.mul(unit.kv_head, k.arg(a.DELTAS_STRIDE)))
            stop = b.add(unit.position, unit.last)
            with k.reduce(0, stop, [k.integer(0)], self.shape.lanes) as (tile, ends, following):
                count = k.minimum(k.integer(self.shape.lanes), b.sub(stop, tile))
                following[0] = sum_changes(k, self.shape, unit, deltas, tile, count, ends[0])
                widen_values(k, self.shape, unit, tile, count)
                lowest = self._first_exact(k, unit, unit.first)
                near = b.icmp_signed(">", b.add(tile, k.integer(self.shape.lanes)), lowest)
                with b.if_then(b.or_(near, b.icmp_signed("<", tile, k.arg(a.SINKS)))):
                    copy_exact(k, self.shape, unit, tile, count)
                start = k.maximum(unit.first, b.sub(tile, unit.position))
                with k.loop(start, unit.last) as token, k.loop(0, self.shape.group) as head:
                    self._attend(k, unit, tile, token, head)
            self._finish(k, unit)

    # --- memory ---------------------------------------------------------------------------------------------------

    def _unit(self, k: KernelBuilder, number: Any) -> DeltaUnit:
        b, a = k.b, DeltaAttendArgument
        kv_head, block = b.srem(number, k.arg(a.KV_HEADS)), b.sdiv(number, k.arg(a.KV_HEADS))
        first = b.mul(block, k.integer(QUERY_TOKENS))
        last = k.minimum(b.add(first, k.integer(QUERY_TOKENS)), k.arg(a.TOKENS))
        position = k.pointer(a.POSITION, k.i32)
        marks = k.at(k.pointer(a.MARKS, k.i32), b.mul(kv_head, k.arg(a.MARKS_HEAD)))
        scratch = k.at(k.pointer(a.SCRATCH), b.mul(number, k.integer(self.scratch_floats)))
        rows, tile = QUERY_TOKENS * self.shape.group * self.shape.padded, self.shape.lanes * self.shape.padded
        places, at = [], 0
        for size in (tile + self.shape.padded, tile, tile, rows, rows):
            places.append(k.at(scratch, at))
            at += size
        # The tile of exact keys follows that of references, which begins behind the row that is carried.
        reference, exact, values, queries, sums = places
        window = k.maximum(k.load_int(position, 1), k.integer(1))
        numbers = (kv_head, k.load_int(position, 0), window, k.load_int(marks, 1), first, last)
        return DeltaUnit(*numbers, reference, values, exact, queries, sums, weights=k.at(scratch, at))

    def _row(self, k: KernelBuilder, token: Any, head: Any) -> Any:
        """Return the number of a query head among the unit's."""
        return k.b.add(k.b.mul(token, k.integer(self.shape.group)), head)

    def _begin(self, k: KernelBuilder, unit: DeltaUnit) -> None:
        """Scale and pad the queries; clear sums, maxima and the reference."""
        b, a, lanes = k.b, DeltaAttendArgument, self.shape.lanes
        scale = k.load(k.pointer(a.NUMBERS))
        zero = k.splat(0.0, lanes)
        for at in range(0, self.shape.padded, lanes):
            k.store(zero, k.at(unit.reference, at), lanes)
        columns = b.mul(unit.kv_head, k.integer(self.shape.group * self.shape.head_dim))
        with k.loop(0, b.sub(unit.last, unit.first)) as token, k.loop(0, self.shape.group) as head:
            row = self._row(k, token, head)
            place = b.mul(row, k.integer(self.shape.padded))
            for at in range(0, self.shape.padded, lanes):
                k.store(zero, k.at(unit.queries, place, at), lanes)
                k.store(zero, k.at(unit.sums, place, at), lanes)
            source = k.at(k.pointer(a.Q), b.mul(b.add(unit.first, token), k.arg(a.Q_STRIDE)), columns)
            source = k.at(source, b.mul(head, k.integer(self.shape.head_dim)))
            for at, count in self.shape.parts():
                value = b.fmul(k.load(k.at(source, at), count), k.splat(scale, count))
                k.store(value, k.at(unit.queries, place, at), count)
            weights = k.at(unit.weights, b.mul(row, k.integer(2 * lanes)))
            k.store(zero, weights, lanes)
            k.store(k.splat(_LOWEST, 1), k.at(weights, lanes))

    # --- one query head and a tile --------------------------------------------------------------------------------

    def _first_exact(self, k: KernelBuilder, unit: DeltaUnit, token: Any) -> Any:
        """Return the first token of the block of a query, or the first whose exact key is still there."""
        at = k.b.add(unit.position, token)
        return k.maximum(k.b.sub(at, k.b.srem(at, unit.window)), unit.first_held)

    def _attend(self, k: KernelBuilder, unit: DeltaUnit, tile: Any, token: Any, head: Any) -> None:
        """Update maximum, weights and weighted values of a query head by the tokens of a tile."""
        b, lanes = k.b, self.shape.lanes
        row = self._row(k, b.sub(token, unit.first), head)
        place = b.mul(row, k.integer(self.shape.padded))
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
            for pointer in (weights, *(k.at(sums, at) for at in range(0, self.shape.padded, lanes))):
                k.store(b.fmul(k.load(pointer, lanes), k.splat(factor, lanes)), pointer, lanes)
        maximum = k.load(k.at(weights, lanes))
        powers = exponential(k, b.fsub(scores, k.splat(maximum, lanes)), lanes)
        powers = b.select(seen, powers, k.splat(0.0, lanes))
        k.store(b.fadd(k.load(weights, lanes), powers), weights, lanes)
        # A number from memory goes to all lanes for nothing, one from another lane does not.
        spread = k.at(unit.weights, k.integer(2 * QUERY_TOKENS * self.shape.group * lanes))
        k.store(powers, spread, lanes)
        total = [k.load(k.at(sums, at), lanes) for at in range(0, self.shape.padded, lanes)]
        for lane in range(lanes):
            weight = k.splat(k.load(k.at(spread, lane)), lanes)
            for number in range(len(total)):
                value = k.load(k.at(unit.values, lane * self.shape.padded + number * lanes), lanes)
                total[number] = k.multiply_add(weight, value, total[number])
        for number, vector in enumerate(total):
            k.store(vector, k.at(sums, number * lanes), lanes)

    def _scores(self, k: KernelBuilder, unit: DeltaUnit, tile: Any, tokens: Any, token: Any, query: Any) -> Any:
        """Return the scores of a tile: from references, from exact keys, or from both where the tile has both."""
        b, lanes = k.b, self.shape.lanes
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
        vectors = [k.load(k.at(query, at), lanes) for at in range(0, self.shape.padded, lanes)]
        with k.reduce(first, b.select(some_exact, two, one), [k.splat(0.0, lanes)]) as (kind, carried, following):
            # The references begin one row behind their place, and the exact keys follow them.
            keys = k.at(unit.reference, b.mul(kind, k.integer(lanes * self.shape.padded)), self.shape.padded)
            products = [self._product(k, vectors, k.at(keys, lane * self.shape.padded)) for lane in range(lanes)]
            wanted = b.icmp_signed("==", kind, one)
            mine = b.xor(exact, b.not_(k.splat(wanted, lanes)))
            following[0] = b.select(mine, _across(k, products), carried[0])
        return carried[0]

    def _product(self, k: KernelBuilder, query: list[Any], key: Any) -> Any:
        total = k.b.fmul(query[0], k.load(key, self.shape.lanes))
        for number in range(1, len(query)):
            total = k.multiply_add(query[number], k.load(k.at(key, number * self.shape.lanes), self.shape.lanes), total)
        return total

    def _finish(self, k: KernelBuilder, unit: DeltaUnit) -> None:
        """Divide the weighted values by the weights."""
        b, a, lanes = k.b, DeltaAttendArgument, self.shape.lanes
        columns = b.mul(unit.kv_head, k.integer(self.shape.group * self.shape.head_dim))
        with k.loop(0, b.sub(unit.last, unit.first)) as token, k.loop(0, self.shape.group) as head:
            row = self._row(k, token, head)
            weight = k.lane_sum(k.load(k.at(unit.weights, b.mul(row, k.integer(2 * lanes))), lanes), lanes)
            target = k.at(k.pointer(a.Y), b.mul(b.add(unit.first, token), k.arg(a.Y_STRIDE)), columns)
            target = k.at(target, b.mul(head, k.integer(self.shape.head_dim)))
            for at, count in self.shape.parts():
                value = k.load(k.at(unit.sums, b.mul(row, k.integer(self.shape.padded)), at), count)
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
