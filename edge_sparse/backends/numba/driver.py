"""The native loop over launches: one call per thread and run; threads claim work units, and nobody waits for a thread.

Python is left once per run, not once per step. Every launch has two counters that only grow: units claimed and units
done, over all runs. A thread takes the next chunk of the launch it is at, and a launch that needs earlier ones begins
when their units are done, whoever did them. So a thread that the system takes off its core delays the others by at
most the chunk it holds, where a barrier of threads would wait for it at every step (measured with one core of two half
busy: 27 ms instead of 11 for MobileNet-v1). Which thread does a unit never changes its result.
"""

from __future__ import annotations

import enum
import sys
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["DRIVER", "PROGRESS_STRIDE", "DriverArgument", "LaunchField", "emit_driver", "emit_waiter"]

DRIVER = "drive"
#: Looks at a counter before the thread gives its core away.
SPINS = 20_000
#: Distance of the launches' counters, in integers: each counter has a cache line of its own.
PROGRESS_STRIDE = 16
_DONE = 8


class DriverArgument(enum.IntEnum):
    """Positions in the driver's argument table.

    ``LAUNCHES`` holds one record of ``LaunchField`` per launch, ``PROGRESS`` its counters.
    ``CLOCK`` (clock_gettime, or 0) writes a time stamp before every launch and one at the end to ``STAMPS``.
    """

    LAUNCHES = 0
    LAST = 1
    THREADS = 2
    PROGRESS = 3
    YIELD = 4
    CLOCK = 5
    STAMPS = 6


class LaunchField(enum.IntEnum):
    """Fields of a launch's record; ``WAITS`` is 1 if all launches before this one must be done."""

    KERNEL = 0
    TABLE = 1
    UNITS = 2
    CHUNK = 3
    WAITS = 4


def emit_driver(k: KernelBuilder) -> None:
    """Write ``drive(args, thread, run)``; ``run`` counts earlier runs and is 0 where there is one thread."""
    b = k.b
    thread, run, last = k.begin, k.end, k.arg(DriverArgument.LAST)
    alone = b.icmp_signed("==", k.arg(DriverArgument.THREADS), k.integer(1))
    with b.if_else(alone) as (one, several):
        with one, k.loop(0, last) as launch:
            _stamp(k, launch, thread)
            _call(k, _record(k, launch), k.integer(0), k.load_int(_record(k, launch), LaunchField.UNITS))
        with several:
            with k.reduce(0, last, [k.integer(0)]) as (launch, waited, following):
                waits = b.icmp_signed("!=", k.load_int(_record(k, launch), LaunchField.WAITS), k.integer(0))
                _wait_for(k, run, waited[0], b.select(waits, launch, waited[0]))
                _stamp(k, launch, thread)
                _work(k, run, launch)
                following[0] = b.select(waits, launch, waited[0])
            # Only the caller needs to know that everything is done.
            _wait_for(k, run, b.select(b.icmp_signed("==", thread, k.integer(0)), waited[0], last), last)
    _stamp(k, last, thread)


def _record(k: KernelBuilder, launch: Any) -> Any:
    return k.at(k.pointer(DriverArgument.LAUNCHES, k.i64), k.b.mul(launch, k.integer(len(LaunchField))))


def _counter(k: KernelBuilder, launch: Any, which: int) -> Any:
    offset = k.b.mul(launch, k.integer(PROGRESS_STRIDE))
    return k.at(k.pointer(DriverArgument.PROGRESS, k.i64), offset, which)


def _call(k: KernelBuilder, record: Any, begin: Any, end: Any) -> None:
    kernel = k.ir.FunctionType(k.ir.VoidType(), [k.i64.as_pointer(), k.i64, k.i64]).as_pointer()
    function = k.b.inttoptr(k.load_int(record, LaunchField.KERNEL), kernel)
    k.b.call(function, [k.b.inttoptr(k.load_int(record, LaunchField.TABLE), k.i64.as_pointer()), begin, end])


def _work(k: KernelBuilder, run: Any, launch: Any) -> None:
    """Claim chunks of a launch and run them until this run's units are all claimed.

    A thread that is late and still in an earlier run finds nothing to claim: its limit was reached.
    """
    b = k.b
    record, claimed = _record(k, launch), _counter(k, launch, 0)
    units, chunk = k.load_int(record, LaunchField.UNITS), k.load_int(record, LaunchField.CHUNK)
    base = b.mul(run, units)
    limit = b.add(base, units)
    head, body, mine, done = (b.append_basic_block(name) for name in ("claim", "take", "mine", "claimed"))
    b.branch(head)
    b.position_at_end(head)
    first = b.load_atomic(claimed, "acquire", 8)
    b.cbranch(b.icmp_signed("<", first, limit), body, done)
    b.position_at_end(body)
    end = k.minimum(b.add(first, chunk), limit)
    taken = b.extract_value(b.cmpxchg(claimed, first, end, "seq_cst", "seq_cst"), 1)
    b.cbranch(taken, mine, head)
    b.position_at_end(mine)
    _call(k, record, b.sub(first, base), b.sub(end, base))
    b.atomic_rmw("add", _counter(k, launch, _DONE), b.sub(end, first), "seq_cst")
    b.branch(head)
    b.position_at_end(done)


def _wait_for(k: KernelBuilder, run: Any, first: Any, last: Any) -> None:
    """Spin until the units of launches ``first`` to ``last - 1`` are done in this run."""
    b = k.b
    with k.loop(first, last) as launch:
        units = b.mul(b.add(run, k.integer(1)), k.load_int(_record(k, launch), LaunchField.UNITS))
        _spin(k, _counter(k, launch, _DONE), "<", units, None)


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
