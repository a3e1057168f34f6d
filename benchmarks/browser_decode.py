"""Tokens per second of a Llama-shaped decoder of 100 million random weights in the browser, against wllama.

Both run in workers of one page of headless Chromium, on one thread, and continue the same number of tokens greedily,
in shuffled turns. wllama runs Q4_0 throughout, with F16 caches, with flash attention and without; ratios are to the
faster of both. It reports its own time, without messages to the page; ours has them, and the choice of the token.
The modules of wllama 2.3.7 and 3.13.0 hold no i32x4.dot_i16x8, the instruction that our products are made of: ratios
are to wllama as it is published, not to what llama.cpp might do in a browser.
At 50 and 30 % our matrices keep groups of 16 rows at random, the head too unless it is said to be dense.

    make web && pip install playwright gguf
    python benchmarks/browser_decode.py
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from browser_page import ROOT, chromium, install_peers, module_page, served
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies
from edge_sparse.converters.decoder.random_model import random_model
from peers.gguf_file import write_gguf
from playwright.sync_api import Page
from turns import Timing, take_turns

from edge_sparse.format.writer import write_model
from edge_sparse.machine import processor_name

CONTEXT = 2048
#: 100.1 million weights, of which a quarter are the embedding that is the head as well.
SHAPE = DecoderConfig(
    architecture="LlamaForCausalLM",
    dim=768,
    layers=12,
    heads=12,
    kv_heads=4,
    head_dim=64,
    ffn=2048,
    vocab=32000,
    context=CONTEXT,
    epsilon=1e-5,
    frequencies=inverse_frequencies(64, 500000.0, None),
)
TARGETS = {0.0: 1.3, 0.5: 2.0}
PEERS = ("wllama Q4_0", "wllama Q4_0, flash attention")


@dataclass(frozen=True)
class Weights:
    """A file of ours."""

    dtype: str
    sparsity: float = 0.0
    dense_head: bool = False

    @property
    def name(self) -> str:
        """Return what the tables call it."""
        head = ", dense head" if self.dense_head else ""
        return f"{self.dtype} {self.sparsity:.0%} gs16x1{head}" if self.sparsity else f"{self.dtype} dense"

    @property
    def file(self) -> str:
        """Return its file's name."""
        return f"{self.dtype}-{round(100 * self.sparsity)}{'-dense-head' if self.dense_head else ''}.egs"

    def write(self, path: Path) -> None:
        """Write a file."""
        head = 0.0 if self.dense_head else None
        model = random_model(SHAPE, dtype=self.dtype, sparsity=self.sparsity, head_sparsity=head, context=CONTEXT)
        for number, matrix in enumerate(model.matrices):
            # Layers that are equal would share their place in the file.
            matrix.values.reshape(-1).view(np.uint8)[0] = number % 128
            matrix.scales.reshape(-1).view(np.uint16)[0] = 0x2000 + number
        write_model(model, path, overwrite=True)


WEIGHTS = (
    Weights("s4"),
    Weights("s8"),
    Weights("s4", 0.3),
    Weights("s8", 0.3),
    Weights("s4", 0.5),
    Weights("s4", 0.5, dense_head=True),
    Weights("s8", 0.5),
)


@dataclass(frozen=True)
class Rival:
    """What takes turns."""

    name: str
    engine: str
    file: str
    sparsity: float = 0.0
    options: dict[str, object] = field(default_factory=dict)


class Turn:
    """Lets a rival of ``take_turns`` time itself: every figure is the mean of one continuation."""

    def __init__(self, page: Page, name: str, depth: int, tokens: int) -> None:
        self._page, self._arguments = page, [name, depth, tokens]

    def __call__(self) -> object:
        """Run once."""
        return self.seconds_of(1)

    def seconds_of(self, calls: int) -> list[float]:
        """Return the seconds of a token, of some continuations."""
        script = "(arguments) => bench.decode(...arguments)"
        return [self._page.evaluate(script, self._arguments) / 1e3 for _ in range(calls)]


def rivals(deep: bool) -> list[Rival]:
    """Return who takes turns; at depth, fewer weights but both kinds of attention."""
    flags = (False, True)
    found = [
        Rival(name, "wllama", "q4_0.gguf", 0.0, {"n_ctx": CONTEXT, "flash_attn": flash})
        for name, flash in zip(PEERS, flags, strict=True)
    ]
    weights = [own for own in WEIGHTS if own.dtype == "s4" and not own.dense_head] if deep else WEIGHTS
    for own in weights:
        found.append(Rival(own.name, "edge_sparse", own.file, own.sparsity))
    for own in (Weights("s4"), Weights("s8")) if not deep else ():
        options: dict[str, object] = {"variant": "relaxed"}
        found.append(Rival(f"{own.name}, relaxed SIMD", "edge_sparse", own.file, 0.0, options))
    delta: dict[str, object] = {"attention": "delta"}
    found.append(Rival("s4 dense, delta attention", "edge_sparse", Weights("s4").file, 0.0, delta))
    return found


def contest(page: Page, depth: int, options: argparse.Namespace) -> dict[str, Timing]:
    """Load the rivals of a depth, let them take turns, and give their memory back."""
    own = rivals(depth >= 256)
    for rival in own:
        address = f"/models/{rival.file}"
        page.evaluate("(all) => bench.add(...all)", [rival.name, rival.engine, address, rival.options])
    turns = {rival.name: Turn(page, rival.name, depth, options.tokens) for rival in own}
    for turn in turns.values():
        turn()
    timings = take_turns(turns, options.rounds, 1)
    for rival in own:
        page.evaluate("(name) => bench.remove(name)", rival.name)
    return timings


def lines(depth: int, timings: dict[str, Timing]) -> list[str]:
    """Return a table in Markdown."""
    peer = min(timings[name].minimum for name in PEERS)
    usual = min(timings[name].median for name in PEERS)
    table = [
        "| | min ms | median ms | tokens/s, best | median | x wllama, by min | by median | target |",
        "|---" * 8 + "|",
    ]
    for rival in rivals(depth >= 256):
        timing = timings[rival.name]
        ratios = peer / timing.minimum, usual / timing.median
        target = TARGETS.get(rival.sparsity) if rival.engine == "edge_sparse" else None
        verdict = "" if target is None else f"{target}{' MISSED' if min(ratios) < target else ''}"
        cells = [rival.name, f"{timing.minimum:.2f}", f"{timing.median:.2f}"]
        cells += [f"{1e3 / timing.minimum:.1f}", f"{1e3 / timing.median:.1f}", *(f"{ratio:.2f}" for ratio in ratios)]
        table.append("| " + " | ".join([*cells, verdict]) + " |")
    return table


def main() -> None:
    """Print the tables and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks" / "browser_decode.json")
    parser.add_argument("-d", "--depths", default="16,1024", help="tokens of the prompt, comma-separated")
    parser.add_argument("-n", "--tokens", type=int, default=64, help="of a continuation")
    parser.add_argument("-r", "--rounds", type=int, default=5, help="turns of every rival")
    parser.add_argument("--chromium", help="its program; default: found on the path")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "browser-peers", help="peers and model files")
    options = parser.parse_args()
    package = ROOT / "wasm" / "js" / "dist"
    if not package.is_dir():
        parser.error("wasm/js/dist is missing: make web")
    models = options.work / "models"
    models.mkdir(parents=True, exist_ok=True)
    write_gguf(SHAPE, models / "q4_0.gguf", head="q4_0", context=CONTEXT, texts=True)
    for own in WEIGHTS:
        own.write(models / own.file)
    report: dict[str, object] = {"processor": processor_name(), "tokens": options.tokens}
    folders = {"/peers/": install_peers(options.work), "/models/": models, "/package/": package}
    with served(folders) as origin, chromium(options.chromium) as browser:
        report["chromium"] = browser.version
        print(f"{processor_name()}; headless Chromium {browser.version}, one thread")
        for depth in map(int, options.depths.split(",")):
            page = module_page(browser, origin, "decode.js")
            timings = contest(page, depth, options)
            report[f"depth {depth}"] = {name: timing.summary() for name, timing in timings.items()}
            print("\n".join([f"\n{options.tokens} tokens after {depth}\n", *lines(depth, timings)]), flush=True)
            page.close()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"\nwritten: {options.json}")


if __name__ == "__main__":
    main()
