"""A thin builder of LLVM vector IR: loops, vector loads and stores, fused multiply-add, activations.

Kernels are written as Python functions that emit IR through this class. Loops over Python ranges unroll into
registers, loops from ``loop`` and ``reduce`` run in the machine. Every kernel has the same C signature,
``void kernel(const int64_t *args, int64_t begin, int64_t end)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edge_sparse.backends.numba.target import Target

__all__ = ["ROUNDING", "KernelBuilder"]

#: Adding 1.5 * 2^23 to a float32 rounds it to an integer, ties to even, which is then in the low bits.
ROUNDING = 12582912.0
_ROUNDING_BITS = 0x4B400000


class KernelBuilder:
    """Emits one kernel into a module of its own.

    Attributes
    ----------
    begin, end : IR values
        The half-open range of work units of this call.
    """

    def __init__(self, target: Target, name: str) -> None:
        from llvmlite import ir

        self.ir = ir
        self.target = target
        self.name = name
        self.i1, self.i8, self.i32, self.i64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
        self.f16, self.f32 = ir.HalfType(), ir.FloatType()
        self.module = ir.Module(name=name)
        self.module.triple = target.triple
        kind = ir.FunctionType(ir.VoidType(), [self.i64.as_pointer(), self.i64, self.i64])
        self.function = ir.Function(self.module, kind, name)
        self.args, self.begin, self.end = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self._intrinsics: dict[str, Any] = {}

    def finish(self) -> str:
        """Close the kernel and return the module's text."""
        self.b.ret_void()
        return str(self.module)

    # --- values ---------------------------------------------------------------------------------------------------

    def integer(self, value: int) -> Any:
        """Return a 64-bit integer constant."""
        # Python 3.10 writes members of an IntEnum by name.
        return self.i64(int(value))

    def vector_type(self, lanes: int) -> Any:
        """Return the type of a float32 vector; one lane is the scalar type."""
        return self.ir.VectorType(self.f32, lanes) if lanes > 1 else self.f32

    def splat(self, value: float | Any, lanes: int) -> Any:
        """Return a vector with a Python number (as float32) or a scalar IR value of any type in all lanes."""
        if isinstance(value, (int, float)):
            number = self.ir.Constant(self.f32, float(value))
            return number if lanes == 1 else self.ir.Constant(self.vector_type(lanes), [number] * lanes)
        if lanes == 1:
            return value
        kind = self.ir.VectorType(value.type, lanes)
        undefined = self.ir.Constant(kind, self.ir.Undefined)
        first = self.b.insert_element(undefined, value, self.i32(0))
        mask = self.ir.Constant(self.ir.VectorType(self.i32, lanes), [0] * lanes)
        return self.b.shuffle_vector(first, undefined, mask)

    def arg(self, index: int) -> Any:
        """Load an integer argument."""
        return self.b.load(self.b.gep(self.args, [self.integer(index)]))

    def pointer(self, index: int, kind: Any = None) -> Any:
        """Load a pointer argument (to float32 unless ``kind`` says otherwise)."""
        return self.b.inttoptr(self.arg(index), (kind or self.f32).as_pointer())

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """Return ``pointer`` advanced by the sum of offsets, in elements."""
        for offset in offsets:
            pointer = self.b.gep(pointer, [self.integer(offset) if isinstance(offset, int) else offset])
        return pointer

    def load_int(self, pointer: Any, index: Any) -> Any:
        """Load ``pointer[index]`` and widen it to 64 bits."""
        value = self.b.load(self.at(pointer, index))
        return value if value.type == self.i64 else self.b.sext(value, self.i64)

    def load(self, pointer: Any, lanes: int = 1) -> Any:
        """Load float32 lanes from an address aligned to four bytes."""
        if lanes == 1:
            return self.b.load(pointer)
        value = self.b.load(self.b.bitcast(pointer, self.vector_type(lanes).as_pointer()))
        value.align = 4
        return value

    def store(self, value: Any, pointer: Any, lanes: int = 1) -> None:
        """Store float32 lanes to an address aligned to four bytes."""
        if lanes > 1:
            pointer = self.b.bitcast(pointer, self.vector_type(lanes).as_pointer())
        self.b.store(value, pointer).align = 4

    def prefetch(self, pointer: Any, level: int = 1) -> None:
        """Ask for the cache line of an address to come to a level of cache; any address is allowed."""
        address = self.b.bitcast(pointer, self.i8.as_pointer())
        read, keep, data = self.i32(0), self.i32(4 - level), self.i32(1)
        self.intrinsic("llvm.prefetch.p0", self.ir.VoidType(), address, read, keep, data)

    def scratch(self, kind: Any, count: int) -> Any:
        """Return ``count`` uninitialised elements on the stack, on a 64-byte boundary; the same ones in every loop."""
        with self.b.goto_entry_block():
            memory = self.b.alloca(self.ir.ArrayType(kind, count))
        memory.align = 64
        return self.b.bitcast(memory, kind.as_pointer())

    # --- control --------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
        """Run the body for ``start, start + step, ... < stop``."""
        with self.reduce(start, stop, [], step) as (index, _, _):
            yield index

    @contextmanager
    def reduce(self, start: Any, stop: Any, initial: Sequence[Any], step: int = 1) -> Iterator[Any]:
        """Loop that carries values: yields ``(index, carried, next)``; the body assigns ``next[:]``.

        After the loop ``carried`` holds the final values.
        """
        b = self.b
        start, stop = (self.integer(x) if isinstance(x, int) else x for x in (start, stop))
        before = b.block
        head, body, done = (b.append_basic_block(name) for name in ("head", "body", "done"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(self.i64)
        index.add_incoming(start, before)
        carried = [b.phi(value.type) for value in initial]
        for phi, value in zip(carried, initial, strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed("<", index, stop), body, done)
        b.position_at_end(body)
        following: list[Any] = list(carried)
        yield index, carried, following
        index.add_incoming(b.add(index, self.integer(step)), b.block)
        for phi, value in zip(carried, following, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(head)
        b.position_at_end(done)

    def minimum(self, a: Any, c: Any) -> Any:
        """Return the smaller of two integers."""
        return self.b.select(self.b.icmp_signed("<", a, c), a, c)

    def maximum(self, a: Any, c: Any) -> Any:
        """Return the larger of two integers."""
        return self.b.select(self.b.icmp_signed(">", a, c), a, c)

    # --- arithmetic -----------------------------------------------------------------------------------------------

    def intrinsic(self, name: str, result: Any, *arguments: Any) -> Any:
        """Call an LLVM intrinsic."""
        if name not in self._intrinsics:
            kind = self.ir.FunctionType(result, [argument.type for argument in arguments])
            self._intrinsics[name] = self.ir.Function(self.module, kind, name)
        return self.b.call(self._intrinsics[name], arguments)

    def multiply_add(self, a: Any, c: Any, addend: Any) -> Any:
        """Return ``a * c + addend``, fused where the processor can."""
        kind = addend.type
        suffix = f"v{kind.count}f32" if isinstance(kind, self.ir.VectorType) else "f32"
        return self.intrinsic(f"llvm.fmuladd.{suffix}", kind, a, c, addend)

    def nearest_integer(self, x: Any, lanes: int = 1) -> Any:
        """Return float32 lanes rounded to 32-bit integers, ties to even; right below 2^22 in magnitude."""
        kind = self.ir.VectorType(self.i32, lanes) if lanes > 1 else self.i32
        bits = self.b.bitcast(self.b.fadd(x, self.splat(ROUNDING, lanes)), kind)
        return self.b.sub(bits, self.splat(self.i32(_ROUNDING_BITS), lanes))

    def clamp_below(self, value: Any, low: Any) -> Any:
        """Return the larger of both; a NaN in ``value`` stays."""
        return self.b.select(self.b.fcmp_ordered("<", value, low), low, value)

    def clamp_above(self, value: Any, high: Any) -> Any:
        """Return the smaller of both; a NaN in ``value`` stays."""
        return self.b.select(self.b.fcmp_ordered(">", value, high), high, value)

    def lane_sum(self, value: Any, lanes: int) -> Any:
        """Add the lanes of a vector, halves first."""
        return self._fold(value, lanes, self.b.fadd)

    def lane_maximum(self, value: Any, lanes: int) -> Any:
        """Return the largest lane of a vector."""
        return self._fold(value, lanes, self.clamp_below)

    def _fold(self, value: Any, lanes: int, join: Callable[[Any, Any], Any]) -> Any:
        while lanes > 1:
            half = lanes // 2
            kind = self.ir.VectorType(self.i32, half)
            parts = [
                self.b.shuffle_vector(value, value, self.ir.Constant(kind, [first + lane for lane in range(half)]))
                for first in (0, half)
            ]
            value, lanes = join(*parts), half
        return self.b.extract_element(value, self.i32(0)) if isinstance(value.type, self.ir.VectorType) else value

    def strided(self, pointer: Any, lanes: int, stride: int) -> Any:
        """Load ``pointer[0], pointer[stride], ...``; reads nothing past the last one."""
        if stride == 1:
            return self.load(pointer, lanes)
        if stride == 2 or lanes == 1:
            return self.every_second(pointer, lanes)
        value = self.splat(0.0, lanes)
        for lane in range(lanes):
            value = self.b.insert_element(value, self.load(self.at(pointer, lane * stride)), self.i32(lane))
        return value

    def every_second(self, pointer: Any, lanes: int) -> Any:
        """Load ``pointer[0], pointer[2], ...``; reads one element less than twice the lanes."""
        if lanes == 1:
            return self.load(pointer)
        low = self.load(pointer, lanes)
        high = self.load(self.at(pointer, lanes - 1), lanes)
        # The high half is loaded one element early so that the last lane read is the last lane used.
        picks = [2 * i if 2 * i < lanes else lanes + 2 * i - (lanes - 1) for i in range(lanes)]
        mask = self.ir.Constant(self.ir.VectorType(self.i32, lanes), picks)
        return self.b.shuffle_vector(low, high, mask)
