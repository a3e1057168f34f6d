"""``delta_store``: keys become changes of the reference, values are copied (DELTA_ATTENTION, first launch)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.half_precision import load_halves, store_halves
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import DType

__all__ = ["DeltaStoreArgument", "DeltaStoreKernel"]

_LARGEST_HALF = 65504.0
#: Rows of marks before those of tokens.
HEADER = 2


class DeltaStoreArgument(enum.IntEnum):
    """Positions in the argument table; strides are distances of rows in elements. ``NUMBERS`` holds theta."""

    K = 0
    V = 1
    DELTAS = 2
    V_CACHE = 3
    POSITION = 4
    EXACT = 5
    MARKS = 6
    NUMBERS = 7
    TOKENS = 8
    K_STRIDE = 9
    V_STRIDE = 10
    DELTAS_STRIDE = 11
    V_CACHE_STRIDE = 12
    EXACT_STRIDE = 13
    MARKS_STRIDE = 14
    MARKS_HEAD = 15
    SINKS = 16
    RING = 17


@dataclass(frozen=True)
class DeltaStoreKernel:
    """Emitter of the kernel; a work unit is a kv head. Elements are taken one by one: each has to be placed.

    Whatever the state holds, element i of a token t is stored at most ``t * head_dim + i`` elements after the head's
    first, so no content leads outside.
    """

    head_dim: int
    deltas: DType
    values: DType

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return f"delta_store_{self.deltas.name.lower()}_{self.values.name.lower()}_d{self.head_dim}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, a = k.b, DeltaStoreArgument
        position = k.load_int(k.pointer(a.POSITION, k.i32), 0)
        tokens, ring, sinks = k.arg(a.TOKENS), k.arg(a.RING), k.arg(a.SINKS)
        with k.loop(k.begin, k.end) as head:
            first_column = b.mul(head, k.integer(self.head_dim))
            marks = k.at(k.pointer(a.MARKS, k.i32), b.mul(head, k.arg(a.MARKS_HEAD)))
            deltas = self._at(k, a.DELTAS, self.deltas, b.mul(head, k.arg(a.DELTAS_STRIDE)))
            exact = k.at(k.pointer(a.EXACT), first_column)
            length, held = k.load_int(marks, 0), k.load_int(marks, 1)
            with b.if_then(b.icmp_signed("<", position, length)):
                self._sum_changes(k, marks, deltas, exact, position)
            end = self._end_before(k, marks, position)
            with k.reduce(0, tokens, [end]) as (t, ends, following):
                token = b.add(position, t)
                key = k.at(k.pointer(a.K), b.mul(t, k.arg(a.K_STRIDE)), first_column)
                row = b.add(k.integer(1), b.add(sinks, b.srem(token, ring)))
                self._copy_key(k, key, k.at(exact, b.mul(row, k.arg(a.EXACT_STRIDE))))
                with b.if_then(b.icmp_signed("<", token, sinks)):
                    row = b.add(token, k.integer(1))
                    self._copy_key(k, key, k.at(exact, b.mul(row, k.arg(a.EXACT_STRIDE))))
                mark = self._mark(k, marks, token)
                following[0] = self._append(k, key, exact, deltas, mark, ends[0])
                k.b.store(b.trunc(following[0], k.i32), mark)
                value = k.at(k.pointer(a.V), b.mul(t, k.arg(a.V_STRIDE)), first_column)
                place = b.add(b.mul(token, k.arg(a.V_CACHE_STRIDE)), first_column)
                self._copy_value(k, value, self._at(k, a.V_CACHE, self.values, place))
            length_after = b.add(position, tokens)
            held = k.minimum(k.maximum(held, b.sub(length, ring)), position)
            held = k.maximum(held, b.sub(length_after, ring))
            b.store(b.trunc(length_after, k.i32), marks)
            b.store(b.trunc(held, k.i32), k.at(marks, 1))

    def _at(self, k: KernelBuilder, argument: int, dtype: DType, offset: Any) -> Any:
        return k.at(k.pointer(argument, k.f16 if dtype is DType.F16 else k.f32), offset)

    def _mark(self, k: KernelBuilder, marks: Any, token: Any) -> Any:
        row = k.b.add(token, k.integer(HEADER))
        return k.at(marks, k.b.mul(row, k.arg(DeltaStoreArgument.MARKS_STRIDE)))

    def _end_before(self, k: KernelBuilder, marks: Any, token: Any) -> Any:
        """Return where the changes of a token begin, held inside the room of the tokens before it."""
        stored = k.load_int(self._mark(k, marks, k.b.sub(token, k.integer(1))), 0)
        room = k.b.mul(token, k.integer(self.head_dim))
        return k.maximum(k.minimum(stored, room), k.integer(0))

    def _load(self, k: KernelBuilder, pointer: Any) -> Any:
        return load_halves(k, pointer, 1) if self.deltas is DType.F16 else k.load(pointer)

    def _sum_changes(self, k: KernelBuilder, marks: Any, deltas: Any, reference: Any, position: Any) -> None:
        """Make the reference that of the first ``position`` tokens: the way back after tokens were dropped."""
        b = k.b
        with k.loop(0, self.head_dim) as element:
            b.store(k.splat(0.0, 1), k.at(reference, element))
        with k.reduce(0, position, [k.integer(0)]) as (token, ends, after):
            mark = self._mark(k, marks, token)
            with k.reduce(0, self.head_dim, [ends[0]]) as (element, places, following):
                word = b.load(k.at(mark, b.add(b.lshr(element, k.integer(5)), k.integer(1))))
                shift = b.trunc(b.and_(element, k.integer(31)), k.i32)
                bit = b.zext(b.and_(b.lshr(word, shift), k.i32(1)), k.i64)
                place = k.at(reference, element)
                # Read also where nothing changed, which no processor could foresee; behind the last one there is room,
                # since only as many were stored as there were elements before this one.
                changed = b.icmp_signed("!=", bit, k.integer(0))
                moved = b.fadd(k.load(place), self._load(k, k.at(deltas, places[0])))
                k.store(b.select(changed, moved, k.load(place)), place)
                following[0] = b.add(places[0], bit)
            after[0] = places[0]

    def _append(self, k: KernelBuilder, key: Any, reference: Any, deltas: Any, mark: Any, end: Any) -> Any:
        """Store what changed of one key; return the new end of the changes."""
        b = k.b
        theta = k.load(k.pointer(DeltaStoreArgument.NUMBERS))
        words = -(-self.head_dim // 32)
        with k.reduce(0, words, [end]) as (number, ends, after):
            first = b.mul(number, k.integer(32))
            last = k.minimum(b.add(first, k.integer(32)), k.integer(self.head_dim))
            with k.reduce(first, last, [ends[0], k.i32(0)]) as (element, carried, following):
                place = k.at(reference, element)
                held = k.load(place)
                change = b.fsub(k.load(k.at(key, element)), held)
                size = k.intrinsic("llvm.fabs.f32", k.f32, change)
                changed = b.not_(b.fcmp_ordered("<=", size, theta))
                # Written in any case; the next element overwrites what did not count.
                self._store(k, change, k.at(deltas, carried[0]))
                moved = b.fadd(held, self._load(k, k.at(deltas, carried[0])))
                k.store(b.select(changed, moved, held), place)
                bit = b.shl(b.zext(changed, k.i32), b.trunc(b.sub(element, first), k.i32))
                following[0] = b.add(carried[0], b.zext(changed, k.i64))
                following[1] = b.or_(carried[1], bit)
            b.store(carried[1], k.at(mark, b.add(number, k.integer(1))))
            after[0] = carried[0]
        return ends[0]

    def _store(self, k: KernelBuilder, change: Any, place: Any) -> None:
        if self.deltas is DType.F16:
            change = k.clamp_above(k.clamp_below(change, k.splat(-_LARGEST_HALF, 1)), k.splat(_LARGEST_HALF, 1))
            store_halves(k, change, place, 1)
        else:
            largest = 3.4028234663852886e38
            k.store(k.clamp_above(k.clamp_below(change, k.splat(-largest, 1)), k.splat(largest, 1)), place)

    def _copy_key(self, k: KernelBuilder, source: Any, target: Any) -> None:
        self._vectors(k, lambda first, lanes: k.store(k.load(k.at(source, first), lanes), k.at(target, first), lanes))

    def _copy_value(self, k: KernelBuilder, source: Any, target: Any) -> None:
        def copy(first: Any, lanes: int) -> None:
            value = k.load(k.at(source, first), lanes)
            if self.values is DType.F16:
                value = k.clamp_below(value, k.splat(-_LARGEST_HALF, lanes))
                value = k.clamp_above(value, k.splat(_LARGEST_HALF, lanes))
                store_halves(k, value, k.at(target, first), lanes)
            else:
                k.store(value, k.at(target, first), lanes)

        self._vectors(k, copy)

    def _vectors(self, k: KernelBuilder, body: Any) -> None:
        """Run a body for all elements of a head: whole vectors, then single ones."""
        whole = self.head_dim - self.head_dim % k.target.lanes
        for start, stop, lanes in ((0, whole, k.target.lanes), (whole, self.head_dim, 1)):
            with k.loop(start, stop, lanes) as first:
                body(first, lanes)
