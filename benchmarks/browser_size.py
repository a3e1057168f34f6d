"""What a page loads before it can run a network: WebAssembly and JavaScript, raw and compressed.

JavaScript is bundled and minified by esbuild, edge_sparse's and the peers' alike: the least that an application of
theirs loads. Where a peer hands out a bundle of its own, the smaller one counts.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from browser_page import ROOT

__all__ = ["Size", "measure_sizes", "size_lines"]

TARGET_BYTES = 120 * 1024
PACKAGE = ROOT / "wasm" / "js" / "dist"
#: What an application says, and the WebAssembly that it then loads, by peer.
PEERS = {
    "onnxruntime-web, wasm only": (
        'export * from "onnxruntime-web/wasm";',
        ["onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"],
    ),
    "tfjs, core and wasm backend": (
        'export * from "@tensorflow/tfjs-core"; export * from "@tensorflow/tfjs-backend-wasm";',
        ["@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm"],
    ),
    "wllama": ('export * from "@wllama/wllama";', ["@wllama/wllama/esm/wasm/wllama.wasm"]),
}


@dataclass(frozen=True)
class Size:
    """Bytes."""

    raw: int
    gzip: int
    brotli: int


def _brotli(file: Path) -> int:
    """Return the size with brotli at its best, by Node.js: Python has no brotli of its own."""
    script = (
        "const z = require('zlib');"
        "const p = { params: { [z.constants.BROTLI_PARAM_QUALITY]: 11, [z.constants.BROTLI_PARAM_LGWIN]: 24 } };"
        "console.log(z.brotliCompressSync(require('fs').readFileSync(process.argv[1]), p).length);"
    )
    return int(subprocess.run(["node", "-e", script, str(file)], check=True, capture_output=True, text=True).stdout)


def _size(files: list[Path]) -> Size:
    contents = [file.read_bytes() for file in files]
    zipped = sum(len(gzip.compress(content, 9)) for content in contents)
    return Size(sum(map(len, contents)), zipped, sum(map(_brotli, files)))


def _bundle(peers: Path, source: str, output: Path) -> Path:
    """Return the smallest JavaScript that does what the source says."""
    command = [str(peers / "node_modules" / ".bin" / "esbuild"), "--bundle", "--minify", "--format=esm"]
    command += ["--platform=browser", "--external:fs", "--external:path", "--external:worker_threads"]
    command += ["--external:perf_hooks", "--external:os", "--external:node:*", "--legal-comments=none"]
    command += ["--log-level=error", f"--outfile={output}"]
    subprocess.run(command, input=source, text=True, cwd=peers, check=True)
    return output


def measure_sizes(peers: Path, folder: Path) -> dict[str, Size]:
    """Return the sizes by engine; brotli of the largest takes half a minute."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for variant, file in {"": "edge_sparse.wasm", ", relaxed": "edge_sparse_relaxed.wasm"}.items():
        scripts = [
            _bundle(peers, f"export * from {json.dumps(str(PACKAGE / name))};", folder / name)
            for name in ("index.js", "worker.js")
        ]
        sizes[f"edge_sparse{variant}, page and worker"] = _size([*scripts, PACKAGE / file])
        sizes[f"edge_sparse{variant}, files as published"] = _size([*sorted(PACKAGE.glob("*.js")), PACKAGE / file])
    for name, (source, files) in PEERS.items():
        script = _bundle(peers, source, folder / f"{name.split(',')[0]}.js")
        sizes[name] = _size([script, *(peers / "node_modules" / file for file in files)])
    return sizes


def size_lines(sizes: dict[str, Size]) -> list[str]:
    """Return the results as lines of a Markdown table."""
    lines = ["| wasm + JS, KiB | raw | gzip | brotli | target |", "|---|---|---|---|---|"]
    for name, size in sizes.items():
        verdict = "reached" if size.brotli <= TARGET_BYTES else "MISSED"
        goal = f"{TARGET_BYTES >> 10} brotli {verdict}" if name.startswith("edge_sparse") else ""
        cells = [f"{value / 1024:.1f}" for value in (size.raw, size.gzip, size.brotli)]
        lines.append("| " + " | ".join([name, *cells, goal]) + " |")
    return lines
