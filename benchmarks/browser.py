"""edge_sparse in the browser against onnxruntime-web and tfjs: one headless Chromium, one thread, shuffled turns.

What was switched on for the peers, so that they are at their best:

- onnxruntime-web: the build with the WebAssembly provider alone, SIMD, one thread, all graph optimisations (it merges
  convolution and clamp itself). The picture comes in its own order (NCHW).
- tfjs: the SIMD build of its WebAssembly backend (XNNPACK), one thread, production mode, convolution, bias and ReLU6 as
  one fused operation each, called directly without a graph executor; weights are made once, so that it packs them once.
  The picture comes in its own order (NHWC).
- Neither uses zeros; they are shown with pruned weights as well.

All engines get the same weights and picture, run on the page's thread, take their input from an array of the page and
give their output as one; outputs must agree to 1e-4 of the largest. Nothing is isolated, as pages are by default; only
the table of 1x1 products comes from an isolated page, for its finer clock. Ratios compare minima with the faster dense
peer of the same run; medians are beside them.

    make web && pip install playwright
    python benchmarks/browser.py --json build/benchmarks/browser.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from browser_limits import compile_limits, measure_limits, multiply_add_limit
from browser_mobilenet import Contest, write_models
from browser_page import ROOT, chromium, install_peers, module_page, served
from browser_products import measure_products, product_lines, product_records, write_products
from browser_size import PACKAGE, measure_sizes, size_lines
from browser_start import cold_loads, start_lines
from playwright.sync_api import Browser

from edge_sparse.machine import processor_name

PARTS = ("limits", "mobilenet", "products", "size", "start")
SITE = ROOT / "build" / "web"


def show(title: str, lines: list[str]) -> None:
    """Print one part."""
    print("\n".join([f"\n## {title}\n", *lines]), flush=True)


def measure(browser: Browser, origin: str, options: argparse.Namespace) -> dict[str, object]:
    """Measure what needs the browser, print it and return it."""
    parts, found = options.parts, {}
    if "limits" in parts:
        limits = measure_limits(module_page(browser, origin, "limit.js"))
        found["limits"] = limits.record()
        show("What the machine allows", limits.lines())
    if "mobilenet" in parts:
        page = module_page(browser, origin, "contest.js")
        contest = Contest(page, options.quick)
        contest.run(options.rounds)
        found["mobilenet"] = contest.record()
        found["peers"] = page.evaluate("() => bench.versions()")
        show(f"Whole networks; peers: {found['peers']}", contest.lines())
        page.close()
    if "products" in parts:
        page = module_page(browser, origin, "limit.js", isolated=True)
        # Before and after: a neighbour's load must not pass for a low limit.
        before = multiply_add_limit(page)
        products = measure_products(module_page(browser, origin, "products.js", isolated=True))
        limit = max(before, multiply_add_limit(page))
        found["products"] = {"limit": limit, "products": product_records(products)}
        show(f"1x1 products; multiply-add limit {limit:.1f} GFLOP/s", product_lines(products, limit))
    if "start" in parts:
        loads = cold_loads(browser, SITE, 3 if options.quick else 10)
        found["start_ms"] = loads
        show("Start", start_lines(loads))
    return found


def main() -> None:
    """Print the tables and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks" / "browser.json")
    parser.add_argument("-r", "--rounds", type=int, default=8, help="turns of every engine")
    parser.add_argument("--quick", action="store_true", help="fewer peers, rounds and loads")
    parser.add_argument("--chromium", help="its program; default: found on the path")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated: " + ", ".join(PARTS))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "browser-peers", help="peers and model files")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    options.rounds = min(options.rounds, 3) if options.quick else options.rounds
    for part, product in {"mobilenet": PACKAGE, "products": PACKAGE, "size": PACKAGE, "start": SITE}.items():
        if part in options.parts and not product.is_dir():
            parser.error(f"{product.relative_to(ROOT)} is missing: make web")

    peers, models = install_peers(options.work), options.work / "models"
    if "limits" in options.parts or "products" in options.parts:
        compile_limits(options.work / "limit")
    if "mobilenet" in options.parts or "products" in options.parts:
        write_models(models)
    if "products" in options.parts:
        write_products(models)
    folders = {"/peers/": peers, "/models/": models, "/limit/": options.work / "limit", "/package/": PACKAGE}
    with served(folders) as origin, chromium(options.chromium) as browser:
        print(f"{processor_name()}; headless Chromium {browser.version}, one thread")
        report = {"processor": processor_name(), "chromium": browser.version, **measure(browser, origin, options)}
    if "size" in options.parts:
        sizes = measure_sizes(peers, options.work / "sizes")
        report["sizes"] = {name: asdict(size) for name, size in sizes.items()}
        show("Size", size_lines(sizes))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"\nwritten: {options.json}")


if __name__ == "__main__":
    main()
