"""A strip's kept columns of quantised rows, packed together, and the sums that correct an offset of the weights."""

from __future__ import annotations

from typing import Any

from edge_sparse.backends.numba.integer_dot import IntegerDot
from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["gather_strip", "sum_segments"]


def gather_strip(
    k: KernelBuilder, dot: IntegerDot, rows: list[Any], bitmap: Any, words: int, packed: list[Any], count: Any
) -> None:
    """Pack the kept bytes of some rows, and 64 zeros after them.

    Parameters
    ----------
    rows, packed : list of pointers to bytes
        Every packed row has room for 64 bytes after the kept ones.
    bitmap : pointer to int64
        ``words`` words that say which bytes are kept.
    count : IR value
        Number of kept bytes.
    """
    pick = _extract if _extracts(k) else _pick
    with k.reduce(0, words, [k.integer(0)]) as (word, carried, following):
        place = k.b.mul(word, k.integer(64))
        mask = k.load_int(bitmap, word)
        for row, target in zip(rows, packed, strict=True):
            if dot.compress:
                _compress(k, k.at(row, place), mask, k.at(target, carried[0]))
            else:
                pick(k, k.at(row, place), mask, target, carried[0])
        following[0] = k.b.add(carried[0], k.intrinsic("llvm.ctpop.i64", k.i64, mask))
    for target in packed:
        _clear(k, k.at(target, count))


def _compress(k: KernelBuilder, source: Any, mask: Any, target: Any) -> None:
    """Pack the chosen of 64 bytes and zeros after them."""
    b = k.b
    kind, bits = k.ir.VectorType(k.i8, 64), k.ir.VectorType(k.i1, 64)
    value = b.load(b.bitcast(source, kind.as_pointer()))
    value.align = 1
    zero = k.ir.Constant(kind, [0] * 64)
    chosen = k.intrinsic("llvm.x86.avx512.mask.compress.v64i8", kind, value, zero, b.bitcast(mask, bits))
    b.store(chosen, b.bitcast(target, kind.as_pointer())).align = 1


def _extracts(k: KernelBuilder) -> bool:
    """Whether the processor packs the bits of a word fast (BMI2; the first two Zens have it in microcode)."""
    return "+bmi2" in k.target.features.split(",") and k.target.cpu not in ("znver1", "znver2")


def _extract(k: KernelBuilder, source: Any, mask: Any, packed: Any, at: Any) -> None:
    """Pack the chosen of 64 bytes, eight at a time; up to 7 bytes after them change."""
    b = k.b
    for group in range(8):
        bits = b.and_(b.lshr(mask, k.integer(8 * group)), k.integer(255))
        lowest = k.intrinsic("llvm.x86.bmi.pdep.64", k.i64, bits, k.integer(0x0101010101010101))
        value = b.load(b.bitcast(k.at(source, 8 * group), k.i64.as_pointer()))
        value.align = 1
        chosen = k.intrinsic("llvm.x86.bmi.pext.64", k.i64, value, b.mul(lowest, k.integer(255)))
        b.store(chosen, b.bitcast(k.at(packed, at), k.i64.as_pointer())).align = 1
        at = b.add(at, k.intrinsic("llvm.ctpop.i64", k.i64, bits))


def _pick(k: KernelBuilder, source: Any, mask: Any, packed: Any, at: Any) -> None:
    """Copy the chosen of 64 bytes one by one."""
    b = k.b
    before = b.block
    head, body, done = (b.append_basic_block(name) for name in ("pick", "take", "picked"))
    b.branch(head)
    b.position_at_end(head)
    left, place = b.phi(k.i64), b.phi(k.i64)
    left.add_incoming(mask, before)
    place.add_incoming(at, before)
    b.cbranch(b.icmp_signed("!=", left, k.integer(0)), body, done)
    b.position_at_end(body)
    lowest = k.intrinsic("llvm.cttz.i64", k.i64, left, k.i1(1))
    b.store(b.load(k.at(source, lowest)), k.at(packed, place))
    left.add_incoming(b.and_(left, b.sub(left, k.integer(1))), body)
    place.add_incoming(b.add(place, k.integer(1)), body)
    b.branch(head)
    b.position_at_end(done)


def _clear(k: KernelBuilder, target: Any) -> None:
    kind = k.ir.VectorType(k.i8, 64)
    k.b.store(k.ir.Constant(kind, [0] * 64), k.b.bitcast(target, kind.as_pointer())).align = 1


def sum_segments(k: KernelBuilder, packed: Any, sums: Any, count: Any, segment: int, factor: int) -> None:
    """Write ``factor`` times the sum of every ``segment`` packed bytes.

    64 zeros must follow the last byte, and ``sums`` needs room for one number more.
    """
    b = k.b
    if segment == 32 and "+avx512bw" in k.target.features.split(","):
        _sum_pairs(k, packed, sums, count, factor)
        return
    width = 32 if segment % 32 == 0 else 8 if segment % 8 == 0 else 4
    kind = k.ir.VectorType(k.i8, width)
    segments = b.sdiv(b.add(count, k.integer(segment - 1)), k.integer(segment))
    with k.loop(0, segments) as number:
        first = b.mul(number, k.integer(segment))
        # Only zeros lie between the last kept byte and the next multiple of the width.
        last = k.minimum(b.add(first, k.integer(segment)), count)
        with k.reduce(first, last, [k.i32(0)], width) as (i, carried, following):
            part = b.load(b.bitcast(k.at(packed, i), kind.as_pointer()))
            part.align = 1
            following[0] = b.add(carried[0], _sum(k, part, width))
        b.store(b.mul(carried[0], k.i32(factor)), k.at(sums, number))


def _sum_pairs(k: KernelBuilder, packed: Any, sums: Any, count: Any, factor: int) -> None:
    """Sum two segments of 32 bytes at once: a third of the instructions that one after the other takes."""
    b = k.b
    kind, quads = k.ir.VectorType(k.i8, 64), k.ir.VectorType(k.i64, 8)
    with k.loop(0, count, 64) as first:
        part = b.load(b.bitcast(k.at(packed, first), kind.as_pointer()))
        part.align = 1
        unsigned = b.xor(part, k.ir.Constant(kind, [128] * 64))
        total = k.intrinsic("llvm.x86.avx512.psad.bw.512", quads, unsigned, k.ir.Constant(kind, [0] * 64))
        for distance in (1, 2):
            order = [lane ^ distance for lane in range(8)]
            mask = k.ir.Constant(k.ir.VectorType(k.i32, 8), order)
            total = b.add(total, b.shuffle_vector(total, total, mask))
        pair = b.shuffle_vector(total, total, k.ir.Constant(k.ir.VectorType(k.i32, 2), [0, 4]))
        words = k.ir.VectorType(k.i32, 2)
        pair = b.sub(b.trunc(pair, words), k.ir.Constant(words, [32 * 128] * 2))
        place = b.bitcast(k.at(sums, b.sdiv(first, k.integer(32))), words.as_pointer())
        b.store(b.mul(pair, k.ir.Constant(words, [factor] * 2)), place).align = 4


def _sum(k: KernelBuilder, part: Any, width: int) -> Any:
    """Add signed bytes: as unsigned ones, which one instruction adds by eights."""
    b = k.b
    if width < 32:
        wide = k.ir.VectorType(k.i32, width)
        return k.intrinsic(f"llvm.vector.reduce.add.v{width}i32", k.i32, b.sext(part, wide))
    quads = k.ir.VectorType(k.i64, 4)
    unsigned = b.xor(part, k.ir.Constant(part.type, [128] * 32))
    eights = k.intrinsic("llvm.x86.avx2.psad.bw", quads, unsigned, k.ir.Constant(part.type, [0] * 32))
    total = k.intrinsic("llvm.vector.reduce.add.v4i64", k.i64, eights)
    return b.sub(b.trunc(total, k.i32), k.i32(32 * 128))
