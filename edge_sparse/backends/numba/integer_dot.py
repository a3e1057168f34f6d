"""Products of four bytes at a time: the integer dot product that a processor has, as vector IR.

``VNNI`` (AVX-512 VNNI) multiplies unsigned by signed bytes and adds four products to a 32-bit sum in one
instruction. AVX2 needs three, and its 16-bit sums of two products must not saturate: 15 * 127 * 2 fits, so unsigned
nibbles work as they are, and signed bytes give their sign to the other operand first (127 * 127 * 2 fits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.target import Target
from edge_sparse.plan import DType

__all__ = ["IntegerDot", "choose_dot"]


@dataclass(frozen=True)
class IntegerDot:
    """Sums of four products in every one of ``lanes`` 32-bit lanes.

    Attributes
    ----------
    vnni : bool
        Whether there is one instruction for it.
    compress : bool
        Whether the processor packs chosen bytes of a vector (AVX-512 VBMI2).
    """

    lanes: int
    vnni: bool
    compress: bool

    @property
    def name(self) -> str:
        """Part of a kernel's name."""
        return f"{'vnni' if self.vnni else 'maddubs'}{self.lanes}{'c' if self.compress else ''}"

    def weight_offset(self, dtype: DType) -> int:
        """Return what unsigned weights exceed their values by; 0 where they stay signed."""
        if dtype is DType.S4:
            return 8
        return 128 if self.vnni else 0

    def x_offset(self, dtype: DType) -> int:
        """Return what unsigned x exceeds its value by, where weights are signed; 0 where both are signed."""
        return 128 if self.vnni or dtype is DType.S4 else 0

    def bytes_type(self, k: KernelBuilder) -> Any:
        """Return the type of the operands."""
        return k.ir.VectorType(k.i8, 4 * self.lanes)

    def sums_type(self, k: KernelBuilder) -> Any:
        """Return the type of the sums."""
        return k.ir.VectorType(k.i32, self.lanes)

    def constant(self, k: KernelBuilder, byte: int) -> Any:
        """Return a byte in all places."""
        return k.ir.Constant(self.bytes_type(k), [byte] * (4 * self.lanes))

    def load(self, k: KernelBuilder, pointer: Any) -> Any:
        """Load operands from any address."""
        value = k.b.load(k.b.bitcast(pointer, self.bytes_type(k).as_pointer()))
        value.align = 1
        return value

    def broadcast(self, k: KernelBuilder, pointer: Any) -> Any:
        """Load four bytes into every lane."""
        word = k.b.load(k.b.bitcast(pointer, k.i32.as_pointer()))
        word.align = 1
        return k.b.bitcast(k.splat(word, self.lanes), self.bytes_type(k))

    def weights(self, k: KernelBuilder, stored: Any, dtype: DType, *, signed: bool) -> tuple[Any, ...]:
        """Return the stored weights as bytes: one vector, or two for S4; unsigned ones exceed their values."""
        if dtype is DType.S4:
            low, high = self._nibbles(k, stored)
            eight = self.constant(k, 8)
            return (k.b.sub(low, eight), k.b.sub(high, eight)) if signed else (low, high)
        return (stored if signed or not self.vnni else k.b.xor(stored, self.constant(k, 128)),)

    def _nibbles(self, k: KernelBuilder, pairs: Any) -> tuple[Any, Any]:
        words = k.ir.VectorType(k.ir.IntType(16), 2 * self.lanes)
        shifted = k.b.lshr(k.b.bitcast(pairs, words), k.ir.Constant(words, [4] * (2 * self.lanes)))
        mask = self.constant(k, 15)
        return k.b.and_(pairs, mask), k.b.and_(k.b.bitcast(shifted, mask.type), mask)

    def add(self, k: KernelBuilder, sums: Any, a: Any, c: Any, *, signed: bool = False) -> Any:
        """Return sums + a . c of unsigned a, or of two ``signed`` operands (not with VNNI), and signed c."""
        bits = 32 * self.lanes
        if self.vnni:
            return k.intrinsic(f"llvm.x86.avx512.vpdpbusd.{bits}", sums.type, sums, a, c)
        words = k.ir.VectorType(k.ir.IntType(16), 2 * self.lanes)
        ssse3 = self.lanes == 4
        if signed:
            sign = "llvm.x86.ssse3.psign.b.128" if ssse3 else "llvm.x86.avx2.psign.b"
            c = k.intrinsic(sign, c.type, c, a)
            a = k.intrinsic(f"llvm.abs.v{4 * self.lanes}i8", a.type, a, k.i1(0))
        multiply = "llvm.x86.ssse3.pmadd.ub.sw.128" if ssse3 else "llvm.x86.avx2.pmadd.ub.sw"
        gather = "llvm.x86.sse2.pmadd.wd" if ssse3 else "llvm.x86.avx2.pmadd.wd"
        pairs = k.intrinsic(multiply, words, a, c)
        ones = k.ir.Constant(words, [1] * (2 * self.lanes))
        return k.b.add(sums, k.intrinsic(gather, sums.type, pairs, ones))


def choose_dot(target: Target, group: int) -> IntegerDot | None:
    """Return the widest dot product whose lanes divide a group of rows; None where there is none."""
    enabled = {feature[1:] for feature in target.features.split(",") if feature.startswith("+")}
    wide = {"avx512vnni", "avx512f", "avx512vl", "avx512bw"} <= enabled
    compress = {"avx512vbmi2", "avx512f", "avx512bw"} <= enabled
    if "avx2" not in enabled or group < 4:
        return None
    lanes = min(group, 16 if wide else 8)
    return IntegerDot(lanes, wide, compress)
