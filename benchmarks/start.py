"""Start and size: first answer in a new process with a cold and a warm kernel cache, memory, and bytes on disk.

Limits: a cold start compiles every kernel of the model (aim: 4 s), a warm one only loads them (aim: 1 s, imports
included); memory over the imports stays below file + arena + 150 MB; a file holds density x dense bytes, plus one bit
per column and strip, plus at most 3 %.

    python benchmarks/start.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned

from edge_sparse.format.writer import write_model
from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import Model

_SCRIPT = """
import json, sys, time
begin = time.perf_counter()
import edge_sparse, edge_sparse.machine
import llvmlite.binding
if sys.argv[2] == "cold":
    import numba, numba.core.compiler
imported = time.perf_counter()
before = edge_sparse.machine.peak_memory_bytes()
session = edge_sparse.load(sys.argv[1])
loaded = time.perf_counter()
session.run(session.random_inputs())
answered = time.perf_counter()
over = edge_sparse.machine.peak_memory_bytes() - before
print(json.dumps({"import_s": imported - begin, "load_s": loaded - imported, "first_run_s": answered - loaded,
                  "memory_over_imports": over, "arena": session.arena_bytes}))
"""


def start(path: Path, cache: str, kind: str) -> dict[str, float]:
    """Run the script in a new process."""
    environment = os.environ | {"EDGE_SPARSE_CACHE_DIR": cache}
    command = [sys.executable, "-c", _SCRIPT, str(path), kind]
    return dict(json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout))


def allowed_bytes(model: Model) -> tuple[int, float]:
    """Return the bytes of the same model with dense weights, and what the sparse file may take."""
    weights = sum(4 * matrix.rows * matrix.columns for matrix in model.matrices)
    constants = sum(tensor.data.nbytes for tensor in model.tensors if tensor.data is not None)
    kept = sum(4 * matrix.kept_weights for matrix in model.matrices)
    index = sum(matrix.counts.size * matrix.columns / 8 for matrix in model.matrices if matrix.density < 1)
    return weights + constants, kept + constants + 0.03 * (weights + constants) + index


def main() -> None:
    """Print one line per model and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", "--repeats", type=int, default=5, help="processes of each kind")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/start.json"))
    options = parser.parse_args()
    print(f"{processor_name()}; {versions()}")
    print("| model | file MB | allowed MB | dense MB | cold s (min, median) | warm s | memory MB | allowed MB |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for group, sparsity in ((32, 0.0), (4, 0.5), (4, 0.9), (16, 0.8)):
        model = lower(*pruned(mobilenet_v1(), group, sparsity))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.egs"
            size = write_model(model, path)
            cold, warm = [], []
            for repeat in range(options.repeats):
                cache = str(Path(folder) / f"cache{repeat}")
                cold.append(start(path, cache, "cold"))
                warm.append(start(path, cache, "warm"))
        dense, allowed = allowed_bytes(model)
        seconds = {
            name: sorted(sum(run[part] for part in ("import_s", "load_s", "first_run_s")) for run in runs)
            for name, runs in (("cold", cold), ("warm", warm))
        }
        memory = max(run["memory_over_imports"] for run in (*cold, *warm))
        limit = size + warm[0]["arena"] + 150e6
        rows.append({"group": group, "sparsity": sparsity, "file": size, "cold": cold, "warm": warm, "dense": dense})
        times = " | ".join(f"{runs[0]:.2f}, {statistics.median(runs):.2f}" for runs in seconds.values())
        sizes = f"{size / 1e6:.2f} | {allowed / 1e6:.2f} | {dense / 1e6:.2f}"
        memories = f"{memory / 1e6:.0f} | {limit / 1e6:.0f}"
        print(f"| gs{group}x1 {sparsity:.0%} | {sizes} | {times} | {memories} |", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"processor": processor_name(), "versions": versions(), "rows": rows}
    options.output.write_text(json.dumps(report, indent=1))
    print(f"\nwritten: {options.output}")


if __name__ == "__main__":
    main()
