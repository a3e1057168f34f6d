"""The native loop over launches: one call per thread and run, a barrier between steps that depend on each other.

Python is left once per run, not once per step. A barrier counts arrivals upwards for ever, so it never needs a reset;
who waits long lets other threads of the machine run.
"""

from __future__ import annotations

import enum
import sys
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["DRIVER", "DriverArgument", "emit_driver", "emit_waiter"]

DRIVER = "drive"
#: Looks at the barrier before the thread gives its core away.
SPINS = 20_000


class DriverArgument(enum.IntEnum):
    """Positions in the driver's argument table.

    ``LAUNCHES`` holds (kernel, argument table, barrier) per launch; ``BOUNDS`` the units per launch and thread;
    ``ARRIVALS`` is the address of the barrier's counter and ``EXPECTED`` its value when the run begins. ``CLOCK``
    (clock_gettime, or 0) writes a time stamp before every launch and one at the end to ``STAMPS``.
    """

    LAUNCHES = 0
    FIRST = 1
    LAST = 2
    BOUNDS = 3
    THREADS = 4
    ARRIVALS = 5
    EXPECTED = 6
    YIELD = 7
    CLOCK = 8
    STAMPS = 9


def emit_driver(k: KernelBuilder) -> None:
    """Write ``drive(args, thread, unused)``."""
    b = k.b
    thread, threads = k.begin, k.arg(DriverArgument.THREADS)
    launches, bounds = k.pointer(DriverArgument.LAUNCHES, k.i64), k.pointer(DriverArgument.BOUNDS, k.i64)
    first, last = k.arg(DriverArgument.FIRST), k.arg(DriverArgument.LAST)
    width = b.add(threads, k.integer(1))
    kernel = k.ir.FunctionType(k.ir.VoidType(), [k.i64.as_pointer(), k.i64, k.i64]).as_pointer()
    with k.reduce(first, last, [k.arg(DriverArgument.EXPECTED)]) as (launch, expected, following):
        record = k.at(launches, b.mul(launch, k.integer(3)))
        with b.if_then(b.icmp_signed("!=", k.load_int(record, 2), k.integer(0))):
            # The launches before this one must be done everywhere.
            _wait(k, expected[0])
        _stamp(k, launch, thread)
        unit = k.at(bounds, b.add(b.mul(launch, width), thread))
        begin, end = k.load_int(unit, 0), k.load_int(unit, 1)
        with b.if_then(b.icmp_signed("<", begin, end)):
            function = b.inttoptr(k.load_int(record, 0), kernel)
            table = b.inttoptr(k.load_int(record, 1), k.i64.as_pointer())
            b.call(function, [table, begin, end])
        with b.if_then(b.icmp_signed(">", threads, k.integer(1))):
            b.atomic_rmw("add", k.pointer(DriverArgument.ARRIVALS, k.i64), k.integer(1), "seq_cst")
        following[0] = b.add(expected[0], threads)
    with b.if_then(b.icmp_signed(">", threads, k.integer(1))):
        _wait(k, expected[0])
    _stamp(k, last, thread)


def _wait(k: KernelBuilder, expected: Any) -> None:
    """Spin until the counter has reached ``expected``."""
    _spin(k, k.pointer(DriverArgument.ARRIVALS, k.i64), "<", expected, None)


def _spin(k: KernelBuilder, address: Any, while_: str, value: Any, limit: int | None) -> None:
    """Look at a number again and again while it compares so to ``value``, at most ``limit`` times."""
    b = k.b
    before = b.block
    head, body, done = (b.append_basic_block(name) for name in ("spin", "pause", "go"))
    b.branch(head)
    b.position_at_end(head)
    looks = b.phi(k.i64)
    looks.add_incoming(k.integer(0), before)
    seen = b.load_atomic(address, "acquire", 8)
    goes_on = b.icmp_signed(while_, seen, value)
    if limit is not None:
        goes_on = b.and_(goes_on, b.icmp_signed("<", looks, k.integer(limit)))
    b.cbranch(goes_on, body, done)
    b.position_at_end(body)
    _pause(k)
    if limit is None:
        give_way = k.arg(DriverArgument.YIELD)
        long = b.and_(b.icmp_signed(">", looks, k.integer(SPINS)), b.icmp_signed("!=", give_way, k.integer(0)))
        with b.if_then(long):
            function = b.inttoptr(give_way, k.ir.FunctionType(k.i32, []).as_pointer())
            b.call(function, [])
    looks.add_incoming(b.add(looks, k.integer(1)), b.block)
    b.branch(head)
    b.position_at_end(done)


def _pause(k: KernelBuilder) -> None:
    """Tell the processor that this is a waiting loop."""
    if k.target.triple.startswith(("x86", "i386", "i686", "amd64")):
        k.intrinsic("llvm.x86.sse2.pause", k.ir.VoidType())
    elif k.target.triple.startswith(("aarch64", "arm64")):
        k.intrinsic("llvm.aarch64.hint", k.ir.VoidType(), k.i32(1))


def _stamp(k: KernelBuilder, launch: Any, thread: Any) -> None:
    """Let thread 0 note the time."""
    b = k.b
    clock = k.arg(DriverArgument.CLOCK)
    wanted = b.and_(b.icmp_signed("!=", clock, k.integer(0)), b.icmp_signed("==", thread, k.integer(0)))
    with b.if_then(wanted):
        kind = k.ir.FunctionType(k.i32, [k.i32, k.i64.as_pointer()])
        stamps = k.at(k.pointer(DriverArgument.STAMPS, k.i64), b.mul(launch, k.integer(2)))
        b.call(b.inttoptr(clock, kind.as_pointer()), [k.i32(_monotonic()), stamps])


def _monotonic() -> int:
    return 6 if sys.platform == "darwin" else 1


def emit_waiter(k: KernelBuilder) -> None:
    """Write ``wait(address table, old value, looks)``: spin a while for a number to change."""
    _spin(k, k.pointer(0, k.i64), "==", k.begin, SPINS)
