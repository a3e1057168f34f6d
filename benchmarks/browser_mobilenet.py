"""MobileNet-v1 1.0 at 224, float32, in one page: edge_sparse, dense and pruned, against onnxruntime-web and tfjs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned
from peers.onnx_file import onnx_bytes
from peers.tfjs_file import tfjs_layers
from playwright.sync_api import Page
from turns import Timing, take_turns

from edge_sparse.format.writer import write_model

__all__ = ["ENGINES", "SPARSITIES", "TARGETS", "Contest", "model_name", "write_models"]

#: The dense peers and their modules in benchmarks/browser.
ENGINES = {"tfjs": "tfjs", "onnxruntime-web": "onnxruntime"}
SPARSITIES = (0.0, 0.3, 0.5, 0.8, 0.9)
GROUPS = (4, 8)
#: How many times faster than the faster dense peer, at least.
TARGETS = {0.0: 1.4, 0.3: 1.7, 0.5: 2.3, 0.8: 4.3, 0.9: 5.5}
SIZE = 224
#: Largest difference between engines, over the largest output.
TOLERANCE = 1e-4
#: Milliseconds of calls behind one figure, and before the first, so that all code is compiled at its best.
SPAN_MS = 50
WARM_MS = 700


@dataclass(frozen=True)
class Rival:
    """One engine with one set of weights."""

    name: str
    engine: str
    model: str
    sparsity: float
    options: dict[str, object] = field(default_factory=dict)


def model_name(group: int, sparsity: float) -> str:
    """Return the name of the files of one pruned network."""
    return f"gs{group}-{round(100 * sparsity)}"


def rivals(quick: bool) -> list[Rival]:
    """Return all rivals. Both peers also get pruned weights: that shows what zeros are worth to them."""
    found = [Rival(name, engine, "dense", 0.0) for name, engine in ENGINES.items()]
    for s in () if quick else (0.8, 0.9):
        found += [Rival(f"{name}, {s:.0%} zeros", ENGINES[name], model_name(GROUPS[0], s), s) for name in ENGINES]
    for variant in ("simd", "relaxed"):
        options: dict[str, object] = {"variant": variant}
        mark = "" if variant == "simd" else ", relaxed"
        found.append(Rival(f"edge_sparse dense{mark}", "edge_sparse", "dense", 0.0, options))
        for group in GROUPS:
            for s in SPARSITIES:
                name = f"edge_sparse gs{group}x1 {s:.0%}{mark}"
                found.append(Rival(name, "edge_sparse", model_name(group, s), s, options))
    model = model_name(GROUPS[0], 0.9)
    found.append(Rival("edge_sparse gs4x1 90%, in its worker", "edge_sparse", model, 0.9, {"worker": True}))
    return found


def write_models(folder: Path) -> None:
    """Write every engine's files, all from the same weights, and the picture that all get."""
    folder.mkdir(parents=True, exist_ok=True)
    dense = mobilenet_v1()
    networks: dict[str, tuple[Graph, dict[str, int]]] = {"dense": (dense, {})}
    networks |= {model_name(group, s): pruned(dense, group, s) for group in GROUPS for s in SPARSITIES}
    for name, (graph, layers) in networks.items():
        write_model(lower(graph, layers), folder / f"{name}.egs", overwrite=True)
        (folder / f"{name}.onnx").write_bytes(onnx_bytes(graph))
        operations, weights = tfjs_layers(graph)
        (folder / f"{name}.json").write_text(json.dumps(operations))
        (folder / f"{name}.bin").write_bytes(weights)
    x = np.random.default_rng(0).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    (folder / "x.bin").write_bytes(x.tobytes())


class InPage:
    """A rival that the page times."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name = page, name

    def __call__(self) -> list[float]:
        """Return the output."""
        return self.page.evaluate("(name) => bench.output(name)", self.name)

    def seconds_of(self, calls: int) -> list[float]:
        """Return the seconds of a call, as many times."""
        arguments = [self.name, calls, SPAN_MS]
        found = self.page.evaluate("([name, calls, span]) => bench.milliseconds(name, calls, span)", arguments)
        return [milliseconds / 1e3 for milliseconds in found]


class Contest:
    """All rivals in one page, and their results."""

    def __init__(self, page: Page, quick: bool) -> None:
        self.rivals = {rival.name: rival for rival in rivals(quick)}
        self.timings: dict[str, Timing] = {}
        self.differences: dict[str, float] = {}
        page.evaluate("(size) => bench.setInput('/models/x.bin', size)", SIZE)
        for rival in self.rivals.values():
            arguments = [rival.name, rival.engine, f"/models/{rival.model}", rival.options]
            page.evaluate("(all) => bench.add(...all)", arguments)
            page.evaluate("([name, span]) => bench.warm(name, span)", [rival.name, WARM_MS])
        self.runs = {name: InPage(page, name) for name in self.rivals}
        self._compare()

    def _compare(self) -> None:
        """Fail unless engines with the same weights agree."""
        first: dict[str, np.ndarray] = {}
        for name, rival in self.rivals.items():
            found = np.array(self.runs[name]())
            expected = first.setdefault(rival.model, found)
            self.differences[name] = float(np.abs(found - expected).max() / np.abs(expected).max())
            if not self.differences[name] <= TOLERANCE:
                raise RuntimeError(f"{name} differs from its first rival by {self.differences[name]:.1e}")

    def run(self, rounds: int, calls: int = 3) -> None:
        """Take turns."""
        self.timings = take_turns(self.runs, rounds, calls)

    def ratio(self, name: str, figure: str) -> float:
        """Return how many times faster than the faster dense peer."""
        best = min(getattr(self.timings[peer], figure) for peer in ENGINES)
        return best / getattr(self.timings[name], figure)

    def lines(self) -> list[str]:
        """Return the results as lines of a Markdown table."""
        lines = ["| MobileNet-v1 1.0 224 fp32 | min ms | median ms | x faster dense peer (min) | (median) | target |"]
        lines.append("|---|---|---|---|---|---|")
        for name, timing in self.timings.items():
            target = TARGETS.get(self.rivals[name].sparsity) if name.startswith("edge_sparse") else None
            ratio = self.ratio(name, "minimum")
            goal = "" if target is None else f"{target} {'reached' if ratio >= target else 'MISSED'}"
            cells = [name, f"{timing.minimum:.2f}", f"{timing.median:.2f}", f"{ratio:.2f}"]
            lines.append("| " + " | ".join([*cells, f"{self.ratio(name, 'median'):.2f}", goal]) + " |")
        return lines

    def record(self) -> dict[str, object]:
        """Return everything for the JSON file."""
        return {
            name: timing.summary()
            | {"ratio_min": self.ratio(name, "minimum"), "ratio_median": self.ratio(name, "median")}
            | {"difference": self.differences[name]}
            for name, timing in self.timings.items()
        }
