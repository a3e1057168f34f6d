"""The thirteen 1x1 products of MobileNet-v1 as steps of the whole network, against the machine's multiply-add limit.

Figures count kept weights only, in a step's best run, bias and clamp included. The page is isolated: only then does
its clock tick 200 times in a millisecond. The limit is measured in an isolated page of the same Chromium.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned
from playwright.sync_api import Page

from edge_sparse.format.writer import write_model

__all__ = ["LAYOUTS", "Product", "measure_products", "product_lines", "product_records", "write_products"]

#: Groups by layout, and the share of the limit that their products reach at least.
LAYOUTS = {"nhwc": (8, 16), "chw": (4, 8)}
TARGETS = {"nhwc": 0.90, "chw": 0.85}
SPARSITIES = (0.0, 0.5, 0.8)
RUNS, SPAN_MS = 10, 700


@dataclass(frozen=True)
class Product:
    """One network's products: GFLOP/s of each and of all, milliseconds of all and of the rest of the network."""

    layout: str
    group: int
    sparsity: float
    each: dict[str, float]
    all: float
    milliseconds: float
    rest_milliseconds: float


def _name(layout: str, group: int, sparsity: float) -> str:
    return f"{layout}-gs{group}-{round(100 * sparsity)}"


def _cases() -> list[tuple[str, int, float]]:
    return [(layout, group, s) for layout, groups in LAYOUTS.items() for group in groups for s in SPARSITIES]


def write_products(folder: Path) -> None:
    """Write the networks."""
    graph = mobilenet_v1()
    for layout, group, sparsity in _cases():
        model = lower(*pruned(graph, group, sparsity), layout=layout)
        write_model(model, folder / f"{_name(layout, group, sparsity)}.egs", overwrite=True)


def _operations() -> dict[str, float]:
    """Return the operations of every 1x1 layer at density 1."""
    graph, found = mobilenet_v1(), {}
    for node in graph.nodes:
        if node.name.endswith(".pointwise"):
            out, weight = graph.values[node.outputs[0]].shape, graph.constant(node.inputs[1])
            found[node.name] = 2.0 * out[2] * out[3] * weight.size
    return found


def measure_products(page: Page, variant: str = "simd") -> list[Product]:
    """Return the products of all networks, measured in an isolated page of products.js."""
    operations, found = _operations(), []
    for layout, group, sparsity in _cases():
        arguments = [f"/models/{_name(layout, group, sparsity)}.egs", "/models/x.bin", variant, RUNS, SPAN_MS]
        steps = page.evaluate("(all) => bench.profile(...all)", arguments)
        least = {step["step"]: step["millisecondsMin"] for step in steps}
        density = {step["step"]: step["density"] for step in steps if "density" in step}
        kept = {name: count * density[name] for name, count in operations.items()}
        milliseconds = sum(least[name] for name in kept)
        each = {name: count / least[name] / 1e6 for name, count in kept.items()}
        rest = sum(least.values()) - milliseconds
        total = sum(kept.values()) / milliseconds / 1e6
        found.append(Product(layout, group, sparsity, each, total, milliseconds, rest))
    return found


def product_lines(products: list[Product], limit: float) -> list[str]:
    """Return the results as lines of a Markdown table."""
    head = "| 1x1 products | all, GFLOP/s | share of limit | slowest | fastest | 1x1 ms | rest ms | target |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for p in products:
        share, target = p.all / limit, TARGETS[p.layout]
        cells = [f"{p.layout.upper()} gs{p.group}x1 {p.sparsity:.0%}", f"{p.all:.1f}", f"{share:.0%}"]
        cells += [f"{min(p.each.values()) / limit:.0%}", f"{max(p.each.values()) / limit:.0%}"]
        cells += [f"{p.milliseconds:.2f}", f"{p.rest_milliseconds:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{target:.0%} {'reached' if share >= target else 'MISSED'}"]) + " |")
    return lines


def product_records(products: list[Product]) -> list[dict[str, object]]:
    """Return everything for the JSON file."""
    return [asdict(product) for product in products]
