"""How fast a model runs on this machine, beside what the machine could do at best."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sparse.errors import InputError
from edge_sparse.machine import peak_memory_bytes, processor_name, usable_cores, versions
from edge_sparse.plan import Model
from edge_sparse.session import Session, StepTime

__all__ = ["BenchmarkReport", "Timing", "benchmark"]


@dataclass(frozen=True)
class Timing:
    """Measured time of whole runs at one number of threads, in seconds.

    ``prepare_seconds`` is the time to make the session (kernels compiled or fetched from the cache), and
    ``first_seconds`` the first run, which finds cold caches. The statistics are of the ``repeats`` runs after the
    warm-up. ``gflops`` counts the multiply-adds of stored weights twice, over the minimum. ``peak_share`` is
    ``gflops`` over the measured limit of one core times the number of threads; None for backends without kernels.
    """

    threads: int
    prepare_seconds: float
    first_seconds: float
    min_seconds: float
    median_seconds: float
    mean_seconds: float
    deviation_seconds: float
    gflops: float
    peak_share: float | None
    steps: tuple[StepTime, ...] = ()


@dataclass(frozen=True)
class BenchmarkReport:
    """Timings of a model and where they were taken.

    ``flops`` is per run; ``file_bytes`` and ``read_seconds`` are 0 for models in memory.
    """

    name: str
    backend: str
    processor: str
    cores: int
    versions: dict[str, str]
    repeats: int
    warmup: int
    file_bytes: int
    arena_bytes: int
    flops: int
    peak_gflops: float | None
    read_seconds: float
    peak_memory_bytes: int
    timings: tuple[Timing, ...] = field(default=())


def benchmark(
    model: str | os.PathLike[str] | Model,
    *,
    threads: Sequence[int] = (1,),
    repeats: int = 50,
    warmup: int = 5,
    backend: str = "auto",
    plan: str = "",
    steps: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> BenchmarkReport:
    """Time a model on random inputs.

    Parameters
    ----------
    model : path or Model
    threads : sequence of int
        One timing each.
    repeats, warmup : int
        Timed runs and runs before them, the first run aside.
    backend, plan : str
        See ``Session.from_model``.
    steps : bool
        Also time every step, in runs of their own.
    progress : callable, optional
        Called with what is being timed and the done share, 0 to 1.
    """
    if repeats < 1 or warmup < 0 or not threads:
        raise InputError("REPEATS_RANGE", f"{repeats} repeats after {warmup} warm-up runs", "ask for at least one")
    start = time.perf_counter()
    loaded, name, size = (model, "model", 0) if isinstance(model, Model) else _read(Path(model))
    read_seconds = time.perf_counter() - start if size else 0.0
    report: Callable[[str, float], None] = progress or (lambda _text, _share: None)
    timings, session = [], None
    peak: float | None = None
    for position, count in enumerate(threads):
        start = time.perf_counter()
        session = Session.from_model(loaded, backend=backend, threads=count, plan=plan)
        prepared = time.perf_counter() - start
        if peak is None and session.backend == "numba":
            report("the processor's limit", position / len(threads))
            peak = _peak()
        with session:
            done = (position / len(threads), 1 / len(threads))
            timings.append(_time(session, prepared, repeats, warmup, peak, steps, report, done))
    assert session is not None
    return BenchmarkReport(
        name=name,
        backend=session.backend,
        processor=processor_name(),
        cores=usable_cores(),
        versions=versions(),
        repeats=repeats,
        warmup=warmup,
        file_bytes=size,
        arena_bytes=session.arena_bytes,
        flops=session.flops,
        peak_gflops=peak,
        read_seconds=read_seconds,
        peak_memory_bytes=peak_memory_bytes(),
        timings=tuple(timings),
    )


def _read(path: Path) -> tuple[Model, str, int]:
    from edge_sparse.format.reader import read_model

    return read_model(path), path.name, path.stat().st_size


def _peak() -> float:
    from edge_sparse.backends.numba.peak import peak_gflops

    return peak_gflops()


def _time(
    session: Session,
    prepared: float,
    repeats: int,
    warmup: int,
    peak: float | None,
    steps: bool,
    report: Callable[[str, float], None],
    done: tuple[float, float],
) -> Timing:
    inputs = session.random_inputs()
    seconds = []
    for number in range(1 + warmup + repeats):
        start = time.perf_counter()
        session.run(inputs)
        seconds.append(time.perf_counter() - start)
        if number % 8 == 0:
            report(f"{session.threads} thread(s)", done[0] + done[1] * number / (1 + warmup + repeats))
    timed = seconds[1 + warmup :]
    gflops = session.flops / min(timed) / 1e9
    return Timing(
        threads=session.threads,
        prepare_seconds=prepared,
        first_seconds=seconds[0],
        min_seconds=min(timed),
        median_seconds=statistics.median(timed),
        mean_seconds=statistics.fmean(timed),
        deviation_seconds=statistics.stdev(timed) if len(timed) > 1 else 0.0,
        gflops=gflops,
        peak_share=gflops / peak / session.threads if peak else None,
        steps=tuple(session.profile(inputs, repeats)) if steps else (),
    )
