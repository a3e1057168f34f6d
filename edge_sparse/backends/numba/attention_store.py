"""``attention_store``: this run's keys and values go into the caches, rounded to their type."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.attention_layout import AttentionLayout
from edge_sparse.backends.numba.half_precision import store_halves
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import DType

__all__ = ["AttentionStore", "StoreArgument"]

_LARGEST_F16 = 65504.0
#: Heads whose largest magnitude is below this count as zero, so that 127 / magnitude is finite.
_SMALLEST_SCALED = float(2.0**-100)


class StoreArgument(enum.IntEnum):
    """Positions in the argument table; strides are the distance of tokens, in elements."""

    K = 0
    V = 1
    K_CACHE = 2
    V_CACHE = 3
    K_SCALES = 4
    V_SCALES = 5
    POSITION = 6
    CAPACITY = 7
    KV_HEADS = 8
    K_STRIDE = 9
    V_STRIDE = 10


@dataclass(frozen=True)
class AttentionStore:
    """Emitter of one kernel; work units are tokens. A token's rows are short, so elements are handled one by one."""

    layout: AttentionLayout

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return f"attention_store_{self.layout.name}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, layout, capacity = k.b, self.layout, k.arg(StoreArgument.CAPACITY)
        position = k.load_int(k.pointer(StoreArgument.POSITION, k.i32), 0)
        keys = (StoreArgument.K, StoreArgument.K_STRIDE, StoreArgument.K_CACHE, StoreArgument.K_SCALES)
        values = (StoreArgument.V, StoreArgument.V_STRIDE, StoreArgument.V_CACHE, StoreArgument.V_SCALES)
        with k.loop(k.begin, k.end) as unit, k.loop(0, k.arg(StoreArgument.KV_HEADS)) as head:
            token = b.add(position, unit)
            before = b.mul(head, capacity)
            part = b.mul(before, k.integer(layout.head_dim))
            for (source, stride, cache, scales), place, dim_of in (
                (keys, layout.key_place(k, token), layout.key_dim),
                (values, layout.value_place(k, token), layout.value_dim),
            ):
                x = k.at(k.pointer(source), b.mul(unit, k.arg(stride)), b.mul(head, k.integer(layout.head_dim)))
                y = k.at(k.pointer(cache, layout.element_type(k)), part, place)
                factor = self._scaled(k, x, scales, b.add(before, token)) if layout.dtype is DType.S8 else None
                with k.loop(0, layout.head_dim) as dim:
                    biased = layout.dot and source is StoreArgument.K
                    self._store(k, k.load(k.at(x, dim)), factor, k.at(y, dim_of(k, dim)), biased)

    def _scaled(self, k: KernelBuilder, x: Any, scales: StoreArgument, place: Any) -> Any:
        """Write the scale of a head; return what its elements are to be multiplied by."""
        b, zero = k.b, k.splat(0.0, 1)
        lanes = self.layout.vector(k.target.lanes)
        fabs = f"llvm.fabs.v{lanes}f32" if lanes > 1 else "llvm.fabs.f32"
        with k.reduce(0, self.layout.head_dim, [k.splat(0.0, lanes)], lanes) as (dim, carried, following):
            size = k.intrinsic(fabs, k.vector_type(lanes), k.load(k.at(x, dim), lanes))
            following[0] = k.clamp_below(carried[0], size)
        largest = k.lane_maximum(carried[0], lanes)
        tiny = b.fcmp_ordered("<", largest, k.splat(_SMALLEST_SCALED, 1))
        seven = k.splat(127.0, 1)
        k.store(b.select(tiny, zero, b.fdiv(largest, seven)), k.at(k.pointer(scales), place))
        return b.select(tiny, zero, b.fdiv(seven, largest))

    def _store(self, k: KernelBuilder, value: Any, factor: Any, place: Any, biased: bool) -> None:
        b = k.b
        if self.layout.dtype is DType.F32:
            k.store(value, place)
        elif self.layout.dtype is DType.F16:
            bounded = k.clamp_above(k.clamp_below(value, k.splat(-_LARGEST_F16, 1)), k.splat(_LARGEST_F16, 1))
            store_halves(k, bounded, place, 1)
        else:
            # The byte dot product takes keys as unsigned bytes.
            integer = b.add(k.nearest_integer(b.fmul(value, factor)), k.i32(128 * biased))
            b.store(b.trunc(integer, k.i8), place)
