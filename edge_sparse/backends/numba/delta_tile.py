"""Tiles of tokens for ``delta_attend``, in scratch memory: changes summed up, values widened, exact keys copied."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.delta_store import HEADER
from edge_sparse.backends.numba.half_precision import load_halves
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import DType

__all__ = ["DeltaAttendArgument", "DeltaShape", "DeltaUnit", "copy_exact", "sum_changes", "widen_values"]

#: Tokens between values that are read and those that are asked for: too far apart for a processor to foresee.
AHEAD = 48


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
class DeltaUnit:
    """What all parts of a work unit need, as IR values: numbers, then places in scratch memory.

    ``first`` and ``last`` are tokens of the run. ``reference`` holds a tile of keys behind the one that is carried.
    """

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
class DeltaShape:
    """What the code of a kernel depends on: elements of a head, query heads per kv head, lanes, types of the state."""

    head_dim: int
    group: int
    lanes: int
    deltas: DType
    values: DType

    @property
    def padded(self) -> int:
        """Elements of a row in scratch memory, whole vectors."""
        return -(-self.head_dim // self.lanes) * self.lanes

    def parts(self) -> list[tuple[int, int]]:
        """Return offset and length of the vectors and single elements of a row without padding."""
        whole = self.head_dim - self.head_dim % self.lanes
        return [(at, self.lanes) for at in range(0, whole, self.lanes)] + [
            (at, 1) for at in range(whole, self.head_dim)
        ]

    def at(self, k: KernelBuilder, argument: int, dtype: DType, offset: Any) -> Any:
        """Return the address of an element of the deltas or values."""
        return k.at(k.pointer(argument, k.f16 if dtype is DType.F16 else k.f32), offset)


def sum_changes(
    k: KernelBuilder, shape: DeltaShape, unit: DeltaUnit, deltas: Any, tile: Any, count: Any, end: Any
) -> Any:
    """Write the references of a tile behind the one before it; return where the changes of the next tile begin."""
    b, a, lanes = k.b, DeltaAttendArgument, shape.lanes
    marks = k.at(k.pointer(a.MARKS, k.i32), b.mul(unit.kv_head, k.arg(a.MARKS_HEAD)))
    start = b.select(b.icmp_signed("==", tile, k.integer(0)), k.integer(0), k.integer(lanes * shape.padded))
    held = [k.load(k.at(unit.reference, start, at), lanes) for at in range(0, shape.padded, lanes)]
    for number, vector in enumerate(held):
        k.store(vector, k.at(unit.reference, number * lanes), lanes)
    halves = k.scratch(k.ir.IntType(16), 2 * lanes)
    with k.reduce(0, count, [end, *held]) as (token, carried, following):
        row = b.add(b.add(tile, token), k.integer(HEADER))
        mark = k.at(marks, b.mul(row, k.arg(a.MARKS_STRIDE)), 1)
        target = k.at(unit.reference, b.mul(b.add(token, k.integer(1)), k.integer(shape.padded)))
        place = carried[0]
        for number in range(len(held)):
            bits = _bits(k, shape, mark, number * lanes)
            change = _expanded(k, shape, k.at(deltas, place), bits, halves)
            following[1 + number] = b.fadd(carried[1 + number], change)
            k.store(following[1 + number], k.at(target, number * lanes), lanes)
            place = b.add(place, b.zext(k.intrinsic("llvm.ctpop.i32", k.i32, bits), k.i64))
        following[0] = place
    return carried[0]


def _bits(k: KernelBuilder, shape: DeltaShape, mark: Any, first: int) -> Any:
    """Return which of a vector's elements changed; none beyond ``head_dim``, whatever the state holds."""
    word = k.b.load(k.at(mark, first // 32))
    shifted = k.b.lshr(word, k.i32(first % 32))
    return k.b.and_(shifted, k.i32((1 << min(shape.lanes, shape.head_dim - first)) - 1))


def _expanded(k: KernelBuilder, shape: DeltaShape, source: Any, bits: Any, halves: Any) -> Any:
    """Return a vector with the next stored changes where bits are set, and 0 elsewhere."""
    b, lanes = k.b, shape.lanes
    mask = b.bitcast(b.trunc(bits, k.ir.IntType(lanes)), k.ir.VectorType(k.i1, lanes))
    if shape.deltas is DType.F32:
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


def widen_values(k: KernelBuilder, shape: DeltaShape, unit: DeltaUnit, tile: Any, count: Any) -> None:
    """Copy the values of a tile as float32; rows of later tokens are 0."""
    b, a = k.b, DeltaAttendArgument
    column = b.mul(unit.kv_head, k.integer(shape.head_dim))
    zero = k.splat(0.0, shape.lanes)
    with k.loop(0, shape.lanes) as token:
        target = k.at(unit.values, b.mul(token, k.integer(shape.padded)))
        there = b.icmp_signed("<", token, count)
        with b.if_else(there) as (stored, absent):
            with stored:
                place = b.add(b.mul(b.add(tile, token), k.arg(a.V_CACHE_STRIDE)), column)
                source = shape.at(k, a.V_CACHE, shape.values, place)
                ahead = k.at(source, b.mul(k.integer(AHEAD), k.arg(a.V_CACHE_STRIDE)))
                for at in range(0, shape.head_dim, 64 // shape.values.numpy.itemsize):
                    k.prefetch(k.at(ahead, at))
                if shape.padded != shape.head_dim:
                    k.store(zero, k.at(target, shape.padded - shape.lanes), shape.lanes)
                for at, lanes in shape.parts():
                    pointer = k.at(source, at)
                    half = shape.values is DType.F16
                    value = load_halves(k, pointer, lanes) if half else k.load(pointer, lanes)
                    k.store(value, k.at(target, at), lanes)
            with absent:
                for at in range(0, shape.padded, shape.lanes):
                    k.store(zero, k.at(target, at), shape.lanes)


def copy_exact(k: KernelBuilder, shape: DeltaShape, unit: DeltaUnit, tile: Any, count: Any) -> None:
    """Copy what the ring and the sinks hold for a tile; rows that hold another token's key are not used."""
    b, a = k.b, DeltaAttendArgument
    column = b.mul(unit.kv_head, k.integer(shape.head_dim))
    sinks = k.arg(a.SINKS)
    with k.loop(0, count) as number:
        token = b.add(tile, number)
        ring = b.add(b.add(sinks, k.integer(1)), b.srem(token, k.arg(a.RING)))
        row = b.select(b.icmp_signed("<", token, sinks), b.add(token, k.integer(1)), ring)
        source = k.at(k.pointer(a.EXACT), b.mul(row, k.arg(a.EXACT_STRIDE)), column)
        target = k.at(unit.exact, b.mul(number, k.integer(shape.padded)))
        if shape.padded != shape.head_dim:
            k.store(k.splat(0.0, shape.lanes), k.at(target, shape.padded - shape.lanes), shape.lanes)
        for at, lanes in shape.parts():
            k.store(k.load(k.at(source, at), lanes), k.at(target, at), lanes)
