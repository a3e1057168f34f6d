"""Tokens per second of a decoder with the shape of Llama-3.2-1B and random weights, against llama.cpp.

The limit: a token reads every weight and the whole cache once, so at best it takes their bytes over the rate at which
as many threads read memory, measured in the same run. llama.cpp runs Q4_0 with F16 caches, with flash attention and
without; ratios are to the faster of both. Our caches hold 8-bit integers, so at depth llama.cpp with Q8_0 caches
stands beside them. All take shuffled turns in one process. Quality: the mean square error of both kinds of 4-bit
weights on the same weights; neither has scales coarser than one per 32 kept weights. Masks are random, without quotas.

    pip install 'edge_sparse[peers]'
    python benchmarks/llm_decode.py
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edge_sparse.converters.decoder.config import DecoderConfig
from edge_sparse.converters.decoder.random_model import LLAMA_3_2_1B, random_model
from peers.gguf_file import nmse_q4_0, write_gguf
from peers.llama_cpp import LlamaCpp
from turns import Timing, take_turns

from edge_sparse.backends.numba.bandwidth import read_bandwidth
from edge_sparse.format.packing import dense, pack_dense
from edge_sparse.format.writer import write_model
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.llm.decode_timer import DecodeTimer, cache_bytes, weight_bytes
from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import DType, Model

TINY = dataclasses.replace(LLAMA_3_2_1B, dim=256, layers=2, heads=4, kv_heads=2, ffn=512, vocab=1024)

_START = """
import json, sys, time
import numpy, numba, numba.core.compiler, llvmlite.binding
import edge_sparse.machine
from edge_sparse.format.reader import read_model
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.llm.decode_timer import DecodeTimer
from edge_sparse.plan import DType
before, begin = edge_sparse.machine.peak_memory_bytes(), time.perf_counter()
model = with_attention(read_model(sys.argv[1]), ExactAttention(DType.S8), int(sys.argv[2]))
read = time.perf_counter() - begin
timer = DecodeTimer(model, backend=sys.argv[3])
ready = time.perf_counter() - begin
timer.decode(0, 1)
print(json.dumps({"read_s": read, "load_s": ready, "first_token_s": time.perf_counter() - begin - ready,
                  "memory_over_imports": edge_sparse.machine.peak_memory_bytes() - before,
                  "cache_bytes": model.state_bytes, "arena_bytes": timer.session.arena_bytes}))
"""


@dataclass(frozen=True)
class Case:
    """Weights of ours and what they must reach: the ratio to llama.cpp with head ``against``, by depth."""

    name: str
    head: str
    against: str
    floors: dict[int, float]
    sparsity: float = 0.0
    head_sparsity: float = 0.0

    def model(self, config: DecoderConfig, context: int) -> Model:
        """Return random weights with caches of 8-bit integers."""
        shares = {"sparsity": self.sparsity, "head_sparsity": self.head_sparsity}
        model = random_model(config, dtype="s4", head_dtype=self.head, **shares, context=context)
        return with_attention(model, ExactAttention(DType.S8), context)


CASES = (
    Case("s4 dense, s8 head", "s8", "q8_0", {0: 1.25, 2048: 1.8, 8192: 2.8}),
    Case("s4 dense, s4 head", "s4", "q8_0", {0: 1.4, 2048: 1.8, 8192: 2.8}),
    Case("s4 50 % gs16, dense s4 head", "s4", "q8_0", {0: 1.9}, 0.5),
    Case("s4 50 % gs16, s4 head too", "s4", "q8_0", {0: 1.9}, 0.5, 0.5),
    Case("s4 70 % gs16, dense s4 head", "s4", "q8_0", {0: 2.3}, 0.7),
    Case("s4 70 % gs16, s4 head too", "s4", "q8_0", {0: 2.3}, 0.7, 0.7),
)


class Turn:
    """Lets a rival of ``take_turns`` time itself; the first two tokens of a turn do not count."""

    def __init__(self, measure: Callable[[int], list[float]]) -> None:
        self._measure = measure

    def __call__(self) -> object:
        """Run once."""
        return self._measure(1)

    def seconds_of(self, calls: int) -> list[float]:
        """Return the seconds of some calls."""
        return self._measure(calls + 2)[2:]


class Contest:
    """All rivals, depth after depth, and what was measured."""

    def __init__(self, options: argparse.Namespace, config: DecoderConfig, folder: Path) -> None:
        self.options, self.config = options, config
        self.threads = [int(count) for count in options.threads.split(",")]
        self.depths = [int(depth) for depth in options.depths.split(",")]
        self.context = max(*self.depths, options.prefill) + options.calls + 16
        self.bandwidth = {count: read_bandwidth(count) for count in self.threads}
        self.peers: dict[tuple[str, bool], LlamaCpp] = {}
        for head in ("q8_0", "q4_0"):
            path = folder / f"{head}.gguf"
            write_gguf(config, path, head=head, context=self.context)
            for flash in (False, True):
                self.peers[head, flash] = LlamaCpp(path, context=self.context, flash=flash)
            if head == "q8_0" and any(self.depths):
                self.small_cache = LlamaCpp(path, context=self.context, flash=True, small_cache=True)
        self.models = {case.name: case.model(config, self._context_of(case)) for case in CASES}
        self.records: list[dict[str, object]] = []

    def _context_of(self, case: Case) -> int:
        deepest = max((depth for depth in case.floors if depth in self.depths), default=0)
        return max(deepest, self.options.prefill) + self.options.calls + 16

    def decode(self, depth: int, threads: int) -> list[str]:
        """Time single tokens and return lines of a Markdown table."""
        cases = [case for case in CASES if depth in case.floors]
        timers = {
            case.name: DecodeTimer(self.models[case.name], threads=threads, backend=self.options.backend)
            for case in cases
        }
        rivals: dict[str, Callable[[], object]] = {}
        for name, timer in timers.items():
            timer.fill(depth)
            rivals[name] = Turn(lambda tokens, timer=timer: timer.decode(depth, tokens))
        for (head, flash), peer in self.peers.items():
            if head == "q8_0" or depth == 0:
                # The prompt is read by all cores; only what follows is timed.
                peer.set_threads(max(self.threads))
                peer.fill(depth)
                peer.set_threads(threads)
                rivals[_peer_name(head, flash)] = Turn(peer.decode)
        if depth:
            self.small_cache.set_threads(max(self.threads))
            self.small_cache.fill(depth)
            self.small_cache.set_threads(threads)
            rivals["llama.cpp Q4_0, q8_0 head, -fa 1, q8_0 cache"] = Turn(self.small_cache.decode)
        # What a virtual machine gets of its host's memory changes within minutes, so it is measured around the turns.
        before = read_bandwidth(threads)
        timings = take_turns(rivals, self.options.rounds, self.options.calls)
        self.bandwidth[threads] = max(before, read_bandwidth(threads))
        for timer in timers.values():
            timer.close()
        lines = [self._line(name, timings, threads, depth, cases) for name in timings]
        return [line for line in lines if line]

    def _line(self, name: str, timings: dict[str, Timing], threads: int, depth: int, cases: list[Case]) -> str:
        timing = timings[name]
        record: dict[str, object] = {"name": name, "threads": threads, "depth": depth, **timing.summary()}
        cells = [name, str(threads), str(depth), f"{timing.minimum:.2f}", f"{timing.median:.2f}"]
        cells += [f"{1e3 / timing.minimum:.1f}", f"{1e3 / timing.median:.1f}"]
        case = next((case for case in cases if case.name == name), None)
        if case:
            ratios = [_best(timings, case.against, figure) / getattr(timing, figure) for figure in _FIGURES]
            same = [_best(timings, "q4_0", figure) / getattr(timing, figure) for figure in _FIGURES]
            floor, model = case.floors[depth], self.models[name]
            rate = (weight_bytes(model) + cache_bytes(model, depth)) / timing.minimum / 1e6
            share = rate / self.bandwidth[threads]
            cells += [f"{ratios[0]:.2f}", f"{ratios[1]:.2f}", f"{floor}{' MISSED' if min(ratios) < floor else ''}"]
            cells += [f"{same[0]:.2f}" if depth == 0 and case.head == "s4" else "", f"{rate:.1f} ({share:.0%})"]
            record |= {"ratio_min": ratios[0], "ratio_median": ratios[1], "floor": floor, "gb_per_s": rate}
            record |= {"bandwidth_share": share, "ratio_to_q4_0_head": same[0] if depth == 0 else None}
        else:
            cells += [""] * 5
        self.records.append(record)
        return "| " + " | ".join(cells) + " |"

    def prefill(self, threads: int) -> list[str]:
        """Time a prompt and return lines of a table."""
        length, case = self.options.prefill, CASES[0]
        with DecodeTimer(self.models[case.name], threads=threads, backend=self.options.backend) as timer:
            rivals: dict[str, Callable[[], object]] = {
                case.name: Turn(lambda calls: [timer.prefill(length) for _ in range(calls)])
            }
            for flash in (False, True):
                peer = self.peers["q8_0", flash]
                peer.set_threads(threads)
                rivals[_peer_name("q8_0", flash)] = Turn(
                    lambda calls, peer=peer: [peer.prefill(length) for _ in range(calls)]
                )
            timings = take_turns(rivals, max(2, self.options.rounds // 3), 1)
        lines = []
        for name, timing in timings.items():
            ratio = _best(timings, "q8_0", "minimum") / timing.minimum
            self.records.append({"name": name, "threads": threads, "prefill": length, **timing.summary()})
            cells = [name, str(threads), f"{timing.minimum:.0f}", f"{timing.median:.0f}"]
            cells += [f"{1e3 * length / timing.minimum:.1f}", f"{ratio:.2f}" if name == case.name else ""]
            lines.append("| " + " | ".join(cells) + " |")
        return lines

    def close(self) -> None:
        """Give the peers' memory back."""
        for peer in self.peers.values():
            peer.close()


_FIGURES = ("minimum", "median")
_DECODE = ("what", "threads", "depth", "min ms", "median ms", "tokens/s, best", "median", "x llama.cpp, by min")
_DECODE += ("by median", "floor", "x llama.cpp with Q4_0 head", "GB/s (of what memory allows)")


def _head(columns: tuple[str, ...]) -> str:
    return "\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def _peer_name(head: str, flash: bool) -> str:
    return f"llama.cpp Q4_0, {head} head, -fa {int(flash)}"


def _best(timings: dict[str, Timing], head: str, figure: str) -> float:
    """Return the milliseconds of llama.cpp's faster attention with this head."""
    times = [getattr(timings[name], figure) for flash in (False, True) if (name := _peer_name(head, flash)) in timings]
    return min(times, default=float("nan"))


def quality() -> dict[str, float]:
    """Return the mean square of the errors over that of the same normally distributed weights."""
    weights = np.random.default_rng(0).standard_normal((512, 2048), np.float32)
    ours = dense(pack_dense("w", weights, 16, dtype=DType.S4, segment=32))
    return {
        "Q4_0": nmse_q4_0(weights),
        "s4": float(((ours - weights).astype(float) ** 2).mean() / (weights.astype(float) ** 2).mean()),
    }


def start(model: Model, folder: Path, context: int, backend: str) -> dict[str, float]:
    """Write a model, and load it in new processes; the second one finds kernels and file in their caches."""
    path = folder / "model.egs"
    for number, matrix in enumerate(model.matrices):
        # Layers that are equal would share their place in the file.
        matrix.values.reshape(-1).view(np.uint8)[0] = number % 128
        matrix.scales.reshape(-1).view(np.uint16)[0] = 0x2000 + number
    write_model(model, path)
    command = [sys.executable, "-c", _START, str(path), str(context), backend]
    for _ in range(2):
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measured = {"file_bytes": path.stat().st_size, **json.loads(found)}
    return measured | {
        "allowed_memory": measured["file_bytes"] + measured["cache_bytes"] + 150e6,
        "allowed_load_s": 2.0,
    }


def main() -> None:
    """Print the tables and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-t", "--threads", default="1,2", help="numbers of threads, comma-separated")
    parser.add_argument("-d", "--depths", default="0,2048,8192", help="tokens in the caches, increasing")
    parser.add_argument("-p", "--prefill", type=int, default=512, help="length of the prompt")
    parser.add_argument("-r", "--rounds", type=int, default=6, help="turns of every rival")
    parser.add_argument("-c", "--calls", type=int, default=12, help="timed tokens per turn")
    parser.add_argument("--backend", default="numba", help="of ours")
    parser.add_argument("--tiny", action="store_true", help="a model of two layers, to try this script")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/llm_decode.json"))
    options = parser.parse_args()
    report: dict[str, object] = {"processor": processor_name(), "versions": versions() | LlamaCpp.versions()}
    print(f"{report['processor']}; {report['versions']}")
    report["nmse"] = quality()
    print(f"normalised mean square error of the weights: {report['nmse']}")
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(options, TINY if options.tiny else LLAMA_3_2_1B, Path(folder))
        report["read_gb_per_s"] = contest.bandwidth
        print(f"memory reads, GB/s by threads: {contest.bandwidth}")
        print(_head(_DECODE))
        for depth in contest.depths:
            for threads in contest.threads:
                print("\n".join(contest.decode(depth, threads)), flush=True)
        print(_head((f"prompt of {options.prefill}", "threads", "min ms", "median ms", "tokens/s", "x llama.cpp")))
        for threads in contest.threads:
            print("\n".join(contest.prefill(threads)), flush=True)
        contest.close()
        report["runs"] = contest.records
        model, context = contest.models[CASES[0].name], contest.context
        gc.collect()
        report["start"] = start(model, Path(folder), context, options.backend)
    print(f"\na new process, files and kernels cached: {report['start']}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1))
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
