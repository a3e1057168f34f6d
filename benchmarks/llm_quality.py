"""Measure what pruned weights and delta attention cost in quality, and what delta attention is worth in time.

``python benchmarks/llm_quality.py`` writes ``docs/data/llm_quality.json``, the plots in ``docs/img`` and the tables of
``docs/decoding.md``. Two of its three models and all its texts come from the folder that EDGE_SPARSE_DATA names.
``--models`` measures some of them anew and keeps the rest; ``--render`` only draws.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edge_sparse.converters.decoder.convert import convert_decoder
from llm_quality_page import render
from llm_quality_tasks import Task, measure, retrieval_prompts, windows_of
from llm_quality_time import attention_times, decode_times

from edge_sparse.llm.attention import DeltaAttention, ExactAttention
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.plan import DType, Model

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "data" / "llm_quality.json"
SPARSITIES, GROUPS = (0.3, 0.5, 0.7), (1, 4, 8, 16)
#: With the last one no key outside the window is told from another: what far keys are worth to the model at all.
THETAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 1000.0)
WINDOWS = (0.0, 0.01, 0.2, 0.5)
#: The exact keys of a query that delta attention keeps by default, as a share of the prompt.
WINDOW = 0.05


@dataclass(frozen=True)
class Subject:
    """A model with a text it has not been trained on (as far as is known), and the depths it was made for."""

    name: str
    source: Path
    tokenizer: Path | None
    text: Callable[[], list[str]]
    depths: tuple[int, ...]


def subjects(data: Path, shakespeare_model: Path) -> list[Subject]:
    """Return the three models."""

    def shakespeare() -> list[str]:
        text = (data / "text" / "tinyshakespeare_input.txt").read_text()
        return [text[-(len(text) // 10) :]]

    def stories() -> list[str]:
        return json.loads((data / "text" / "tinystories_100.json").read_text())

    llm = data / "llm"
    tiny, baby = llm / "stories260K", llm / "babyllama_tok105"
    return [
        Subject("shakespeare", shakespeare_model, None, shakespeare, (256, 512, 1024, 2048)),
        Subject("stories260K", tiny / "stories260K.bin", tiny / "tok512.bin", stories, (128, 256, 512)),
        Subject("BabyLlama", baby / "model5000.bin", baby / "tok105.model", stories, (128, 256)),
    ]


def converted(subject: Subject, **options: object) -> Model:
    """Return the model in memory."""
    result = convert_decoder(subject.source, tokenizer=subject.tokenizer, perplexity=False, **options)
    return result.model


def tasks(subject: Subject, model: Model, tokens: int, prompts: int) -> dict[int, Task]:
    """Return what is asked at every depth."""
    codec = TextCodec(model.tokenizer)
    texts = subject.text()
    encoded = [codec.encode(text) for text in texts]
    ids = [token for text in encoded for token in text]
    bos = tuple(codec.encode(""))
    lines = _lines(codec, texts, len(bos))
    result = {}
    for depth in subject.depths:
        repeated, absent = retrieval_prompts(lines, ids, depth, prompts, bos)
        result[depth] = Task(windows_of(ids, depth, tokens, bos), repeated, absent)
    return result


def _lines(codec: TextCodec, texts: list[str], skip: int) -> list[list[int]]:
    """Return lines, or sentences of stories, of 30 to 60 tokens."""
    pieces = [line for text in texts for line in text.replace(". ", ".\n").split("\n")]
    encoded = [codec.encode(line + "\n")[skip:] for line in pieces]
    return [line for line in encoded if 30 <= len(line) <= 60]


def weight_rows(subject: Subject, task: Task, threads: int) -> list[dict]:
    """Return perplexity and retrieval for every sparsity and group, at one depth."""
    rows = []
    for sparsity in (0.0, *SPARSITIES):
        for group in GROUPS if sparsity else (0,):
            options = {"sparsity": sparsity, "group": group} if sparsity else {}
            mode = ExactAttention(DType.F32)
            row = measure(converted(subject, **options), mode, task, threads=threads)
            if sparsity:
                whole = measure(converted(subject, **options, head_sparsity=0.0), mode, task, threads=threads)
                row["loss_head_whole"] = whole["loss"]
            rows.append({"weight_sparsity": sparsity, "group": group, **row})
            report(subject.name, rows[-1])
    return rows


def attention_rows(model: Model, name: str, questions: dict[int, Task], threads: int) -> list[dict]:
    """Return perplexity, retrieval and sparsity for every depth, mode, threshold and window."""
    rows = []
    for task in questions.values():
        exact = {cache.name: ExactAttention(cache) for cache in (DType.F32, DType.F16, DType.S8)}
        modes = [(f"exact {cache}", 0.0, 0.0, mode) for cache, mode in exact.items()]
        modes += [("delta", theta, WINDOW, DeltaAttention(theta, WINDOW)) for theta in THETAS]
        modes += [("delta", theta, w, DeltaAttention(theta, w)) for theta in (0.6, 1.0) for w in WINDOWS]
        for mode_name, theta, window, mode in modes:
            row = measure(model, mode, task, threads=threads)
            rows.append({"mode": mode_name, "theta": theta, "window": window, **row})
            report(name, rows[-1])
    return rows


def report(name: str, row: dict) -> None:
    """Print a row."""
    numbers = {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}
    print(name, *(f"{key}={value}" for key, value in numbers.items()), flush=True)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="shakespeare,stories260K,BabyLlama,time")
    parser.add_argument("--tokens", type=int, default=12288, help="predicted tokens of a row, about")
    parser.add_argument("--prompts", type=int, default=8, help="lines to be found, per row")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--render", action="store_true", help="draw what was measured before")
    parser.add_argument("--shakespeare", type=Path, default=ROOT / "examples" / "shakespeare" / "model")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = [] if options.render else options.models.split(",")
    if "EDGE_SPARSE_DATA" not in os.environ and set(wanted) - {"time"}:
        parser.error("set EDGE_SPARSE_DATA to the folder of the models and texts")
    data = Path(os.environ.get("EDGE_SPARSE_DATA", "."))
    for subject in subjects(data, options.shakespeare):
        if subject.name not in wanted:
            continue
        start = time.perf_counter()
        model = converted(subject)
        questions = tasks(subject, model, options.tokens, options.prompts)
        middle = subject.depths[len(subject.depths) // 2]
        results[subject.name] = {
            "weights": weight_rows(subject, questions[middle], options.threads),
            "attention": attention_rows(model, subject.name, questions, options.threads),
            "decode": decode_times(model, subject.depths, DeltaAttention(0.6, WINDOW)),
            "machine": machine(options.threads),
        }
        results[subject.name]["seconds"] = time.perf_counter() - start
        save(results)
    if "time" in wanted:
        results["time"] = {"rows": attention_times(), "machine": machine(1)}
        save(results)
    render(results, ROOT / "docs")


def machine(threads: int) -> str:
    """Say what the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {threads} thread(s), Python {platform.python_version()}, NumPy {np.__version__}"


def save(results: dict) -> None:
    """Write the results so far."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(_rounded(results), indent=1) + "\n")


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
