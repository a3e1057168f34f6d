"""MobileNet-v1 1.0 at 224, float32, batch 1: pruned 1x1 layers against the best dense engine of the same run.

The limit: the 1x1 layers are 1.08 of 1.14 GFLOP; at the processor's multiply-add peak they take ``1.08 / peak`` times
the density, and the rest (stem, depthwise, pool, head) what it takes dense. All engines take shuffled turns in one
process, so a ratio compares equal conditions; ratios are of minima, medians are printed beside them.

    pip install 'edge_sparse[peers]'
    python benchmarks/mobilenet.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned
from peers.deepsparse import Worker
from peers.engines import ENGINES
from peers.engines import versions as engine_versions
from peers.int8 import int8_engines
from turns import Timing, take_turns

from edge_sparse.backends.numba.peak import peak_gflops
from edge_sparse.machine import processor_name, versions
from edge_sparse.session import Session

SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
#: The ratios to the best dense engine that releases must keep, by group and sparsity.
FLOORS = {
    32: dict(zip(SPARSITIES, (0.90, 1.22, 1.60, 2.3, 3.0, 4.0), strict=True)),
    8: dict(zip(SPARSITIES, (0.85, 1.18, 1.55, 2.3, 3.0, 4.0), strict=True)),
    4: dict(zip(SPARSITIES[1:], (1.0, 1.4, 2.2, 3.0, 4.0), strict=True)),
    1: {0.8: 1.0, 0.9: 1.0},
}


def session_of(graph: Graph, group: int, sparsity: float, threads: int) -> Session:
    """Return a session of the network pruned to this pattern."""
    return Session.from_model(lower(*pruned(graph, group, sparsity)), threads=threads)


def parts(session: Session, repeats: int) -> tuple[float, float]:
    """Return the milliseconds of the 1x1 layers and of the rest, sums of each step's minimum.

    Medians with several threads: the clock is the caller's, who finds steps done when it comes late.
    """
    times = session.profile(repeats=repeats)
    seconds = [(step.name, step.seconds_min if session.threads == 1 else step.seconds_median) for step in times]
    pointwise = sum(time for name, time in seconds if ".pointwise" in name)
    return 1e3 * pointwise, 1e3 * (sum(time for _, time in seconds) - pointwise)


class Contest:
    """All rivals of one number of threads and their results."""

    def __init__(self, options: argparse.Namespace, threads: int) -> None:
        self.options, self.threads = options, threads
        self.graph = mobilenet_v1()
        self.x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
        self.sessions: dict[tuple[int, float], Session] = {}
        self.workers: dict[str, Worker] = {}
        self.timings: dict[str, Timing] = {}
        self.parts: dict[str, tuple[float, float]] = {}

    def rivals(self) -> dict[str, Callable[[], object]]:
        """Make every engine ready."""
        options, graph, x, threads = self.options, self.graph, self.x, self.threads
        rivals: dict[str, Callable[[], object]] = {n: make(graph, x, threads) for n, (_, make) in ENGINES.items()}
        if not options.quick:
            rivals |= int8_engines(graph, x, threads)
            for width in (0.75, 0.5):
                small = mobilenet_v1(width)
                rivals[f"LiteRT, width {width}"] = ENGINES["LiteRT"][1](small, x, threads)
                rivals[f"edge_sparse, width {width}"] = self._run(session_of(small, 32, 0.0, threads))
        if options.deepsparse:
            for group in (1, 4):
                name = f"DeepSparse gs{group}x1 90%"
                self.workers[name] = Worker(options.deepsparse, pruned(graph, group, 0.9)[0], x, threads)
            rivals |= self.workers
        for group in map(int, options.groups.split(",")):
            for sparsity in FLOORS.get(group, dict.fromkeys(SPARSITIES)):
                session = session_of(graph, group, sparsity, threads)
                self.sessions[group, sparsity] = session
                rivals[f"gs{group}x1 {sparsity:.0%}"] = self._run(session)
        return rivals

    def _run(self, session: Session) -> Callable[[], object]:
        return lambda: session(self.x)

    def run(self) -> None:
        """Take turns, then profile."""
        rivals = self.rivals()
        self.timings = take_turns(rivals, self.options.rounds, self.options.calls)
        for (group, sparsity), session in self.sessions.items():
            self.parts[f"gs{group}x1 {sparsity:.0%}"] = parts(session, 50)
        for worker in self.workers.values():
            worker.close()

    def best_dense(self, figure: str) -> float:
        """Return the fastest dense float32 engine's time."""
        return min(getattr(self.timings[name], figure) for name in ENGINES)

    def table(self) -> list[str]:
        """Return the results as lines of a Markdown table."""
        best, best_round = self.best_dense("minimum"), self.best_dense("best_round")
        lines = [
            f"\n{self.threads} thread(s)\n",
            "| what | min ms | best round ms | median ms | x best dense (min) | (best round) | floor | 1x1 | rest ms |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for name, timing in self.timings.items():
            cells = [f"{timing.minimum:.2f}", f"{timing.best_round:.2f}", f"{timing.median:.2f}"]
            cells += [f"{best / timing.minimum:.2f}", f"{best_round / timing.best_round:.2f}"]
            floor = self._floor(name)
            missed = floor and best / timing.minimum < floor and best_round / timing.best_round < floor
            cells += [f"{floor}{' MISSED' if missed else ''}" if floor else ""]
            cells += [f"{part:.2f}" for part in self.parts[name]] if name in self.parts else ["", ""]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return lines

    def _floor(self, name: str) -> float | None:
        for group, floors in FLOORS.items():
            for sparsity, floor in floors.items():
                if name == f"gs{group}x1 {sparsity:.0%}" and self.threads == 1:
                    return floor
        return None

    def record(self) -> dict[str, object]:
        """Return everything for the JSON file."""
        timings = {name: timing.summary() for name, timing in self.timings.items()}
        return {"threads": self.threads, "timings": timings, "parts_ms": self.parts}


def main() -> None:
    """Print the tables and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-g", "--groups", default="32,8,4,1", help="group sizes, comma-separated")
    parser.add_argument("-t", "--threads", default="1,2", help="numbers of threads, comma-separated")
    parser.add_argument("-r", "--rounds", type=int, default=12, help="turns of every engine")
    parser.add_argument("-c", "--calls", type=int, default=10, help="timed calls per turn")
    parser.add_argument("--deepsparse", metavar="PYTHON", help="interpreter that has deepsparse==1.8.0 and numpy<2")
    parser.add_argument("--quick", action="store_true", help="only dense engines and edge_sparse")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/mobilenet.json"))
    options = parser.parse_args()
    peak = peak_gflops(40)
    print(f"{processor_name()}; {versions() | engine_versions()}; multiply-add peak of one core {peak:.0f} GFLOP/s")
    records = []
    for threads in map(int, options.threads.split(",")):
        contest = Contest(options, threads)
        contest.run()
        print("\n".join(contest.table()), flush=True)
        records.append(contest.record())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"processor": processor_name(), "versions": versions() | engine_versions(), "peak_gflops": peak}
    options.output.write_text(json.dumps(report | {"runs": records}, indent=1))
    print(f"\nwritten: {options.output}")


if __name__ == "__main__":
    main()
