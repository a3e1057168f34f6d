"""How fast a language model generates and reads on this machine, beside what the memory allows."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sparse.errors import InputError
from edge_sparse.llm.attention import AttentionMode, with_attention
from edge_sparse.llm.decode_timer import DecodeTimer, cache_bytes, is_language_model, weight_bytes
from edge_sparse.machine import peak_memory_bytes, processor_name, usable_cores, versions
from edge_sparse.plan import DType, Model, Op

__all__ = ["DecodeReport", "DecodeTiming", "PrefillTiming", "decode_benchmark"]


@dataclass(frozen=True)
class DecodeTiming:
    """Seconds per token at one depth and number of threads.

    ``gigabytes_per_second`` is what weights and caches hold, over the minimum; ``bandwidth_share`` is that over what
    as many threads read at best. None with attention that does not read its whole cache, or without kernels.
    """

    threads: int
    depth: int
    min_seconds: float
    median_seconds: float
    gigabytes_per_second: float | None
    bandwidth_share: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """By the median token."""
        return 1 / self.median_seconds


@dataclass(frozen=True)
class PrefillTiming:
    """Seconds that a prompt of ``tokens`` takes from empty caches."""

    threads: int
    tokens: int
    min_seconds: float
    median_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """By the median prompt."""
        return self.tokens / self.median_seconds


@dataclass(frozen=True)
class DecodeReport:
    """Timings of a language model and where they were taken; ``bandwidth`` is GB/s by number of threads."""

    name: str
    backend: str
    processor: str
    cores: int
    versions: dict[str, str]
    attention: str
    context: int
    weight_bytes: int
    cache_bytes_per_token: int
    state_bytes: int
    read_seconds: float
    peak_memory_bytes: int
    bandwidth: dict[int, float]
    decoding: tuple[DecodeTiming, ...]
    prefill: tuple[PrefillTiming, ...]


def decode_benchmark(
    model: str | os.PathLike[str] | Model,
    *,
    attention: AttentionMode | None = None,
    depths: Sequence[int] = (0,),
    threads: Sequence[int] = (1,),
    tokens: int = 32,
    prefill: int = 0,
    prefill_repeats: int = 3,
    backend: str = "auto",
    progress: Callable[[str, float], None] | None = None,
) -> DecodeReport:
    """Time single tokens at some depths, and a prompt, on random tokens.

    Parameters
    ----------
    model : path or Model
    attention : mode, optional
        See ``edge_sparse.llm.attention``; what the file says by default.
    depths : sequence of int
        Tokens that the caches hold before the first timed token.
    threads : sequence of int
    tokens : int
        Timed tokens at every depth, after two others.
    prefill, prefill_repeats : int
        Length of the prompt (0: none is timed) and how often it is read.
    progress : callable, optional
        Called with what is being timed and the done share, 0 to 1.

    Raises
    ------
    InputError
        ``NO_LANGUAGE_MODEL``, or ``DEPTH_RANGE`` for impossible numbers.
    """
    if not depths or not threads or tokens < 1 or min(depths) < 0 or prefill < 0 or prefill_repeats < 1:
        raise InputError("DEPTH_RANGE", f"{tokens} tokens at depths {list(depths)}", "ask for at least one of each")
    begun = time.perf_counter()
    loaded, name = (model, "model") if isinstance(model, Model) else _read(Path(model))
    read_seconds = time.perf_counter() - begun
    if not is_language_model(loaded):
        raise InputError("NO_LANGUAGE_MODEL", f"{name} holds no language model", "leave out --decode")
    if attention:
        room = max(max(depths) + tokens + 2, prefill, *(plan.symbol_max for plan in loaded.plans))
        loaded = with_attention(loaded, attention, room)
    say: Callable[[str, float], None] = progress or (lambda _text, _share: None)
    window = attention.window_tokens(max(depths)) if attention else 1
    decoding: list[DecodeTiming] = []
    prompts: list[PrefillTiming] = []
    ran = ""
    for turn, count in enumerate(threads):
        say(f"{count} thread(s)", turn / len(threads))
        with DecodeTimer(loaded, threads=count, backend=backend, window=window) as timer:
            ran = timer.session.backend
            if prefill:
                seconds = [timer.prefill(prefill) for _ in range(prefill_repeats + 1)][1:]
                prompts.append(PrefillTiming(count, prefill, min(seconds), statistics.median(seconds)))
            for depth in depths:
                decoding.append(_decode(timer, loaded, depth, tokens))
    # Memory is asked for before the measure of bandwidth needs much of its own.
    peak_memory = peak_memory_bytes()
    bandwidth = {count: _bandwidth(count) for count in threads} if ran == "numba" else {}
    return DecodeReport(
        name=name,
        backend=ran,
        processor=processor_name(),
        cores=usable_cores(),
        versions=versions(),
        attention=_words(attention),
        context=timer.context,
        weight_bytes=weight_bytes(loaded),
        cache_bytes_per_token=cache_bytes(loaded, 0),
        state_bytes=loaded.state_bytes,
        read_seconds=read_seconds,
        peak_memory_bytes=peak_memory,
        bandwidth=bandwidth,
        decoding=tuple(_beside(timing, bandwidth) for timing in decoding),
        prefill=tuple(prompts),
    )


def _decode(timer: DecodeTimer, model: Model, depth: int, tokens: int) -> DecodeTiming:
    if depth + tokens + 2 > timer.context:
        raise InputError(
            "DEPTH_RANGE",
            f"depth {depth} and {tokens + 2} tokens are more than the context of {timer.context}",
            "ask for a smaller depth, or for a larger context",
        )
    timer.fill(depth)
    seconds = timer.decode(depth, tokens + 2)[2:]
    whole = all(step.op is not Op.DELTA_ATTENTION for step in model.plan("generate").steps)
    rate = (weight_bytes(model) + cache_bytes(model, depth)) / min(seconds) / 1e9 if whole else None
    return DecodeTiming(
        threads=timer.session.threads,
        depth=depth,
        min_seconds=min(seconds),
        median_seconds=statistics.median(seconds),
        gigabytes_per_second=rate,
    )


def _beside(timing: DecodeTiming, bandwidth: Mapping[int, float]) -> DecodeTiming:
    """Add which share of the measured bandwidth was used."""
    if timing.gigabytes_per_second is None or timing.threads not in bandwidth:
        return timing
    return replace(timing, bandwidth_share=timing.gigabytes_per_second / bandwidth[timing.threads])


def _words(mode: AttentionMode | None) -> str:
    """Return a mode and its options as a person would write them."""
    if mode is None:
        return "attention as in the file"
    values = vars(mode) | {"cache": getattr(mode, "cache", DType.F32).name.lower()}
    return f"{type(mode).__name__}({', '.join(f'{name}={value}' for name, value in values.items())})"


def _read(path: Path) -> tuple[Model, str]:
    from edge_sparse.format.reader import read_model

    return read_model(path), path.name


def _bandwidth(threads: int) -> float:
    from edge_sparse.backends.numba.bandwidth import read_bandwidth

    return read_bandwidth(threads)
