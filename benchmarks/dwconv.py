"""Time of MobileNet-v1's depthwise layers beside the limits of this processor.

``compute`` is the time of the multiply-adds at the peak measured in the same run; ``copy`` the time in
which NumPy copies as many bytes as the layer reads and writes. ``share`` is compute over the minimum.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from spmm import timed

from edge_sparse.backends.numba.depthwise import DepthwiseConvolution
from edge_sparse.backends.numba.peak import peak_gflops
from edge_sparse.machine import processor_name
from edge_sparse.plan import Activation

#: Channels, input height and width, stride.
LAYERS = (
    (32, 112, 1),
    (64, 112, 2),
    (128, 56, 1),
    (128, 56, 2),
    (256, 28, 1),
    (256, 28, 2),
    (512, 14, 1),
    (512, 14, 2),
    (1024, 7, 1),
)
#: How often MobileNet-v1 has each layer.
COUNTS = (1, 1, 1, 1, 1, 1, 5, 1, 1)


def measure(channels: int, size: int, stride: int, repeats: int, peak: float) -> dict[str, object]:
    """Time one layer and compute its limits."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((channels, 3, 3)).astype(np.float32)
    bias = np.zeros(channels, np.float32)
    layer = DepthwiseConvolution(
        weights, size, size, stride=stride, padding=(1, 1, 1, 1), bias=bias, activation=Activation.RELU
    )
    x, y = layer.allocate_input(), layer.allocate_output()
    layer.pixels(x)[:] = rng.standard_normal(layer.input_shape)
    best, median = timed(lambda: layer.run(x, y), repeats)
    elements = int(np.prod(layer.input_shape)) + int(np.prod(layer.output_shape))
    source, target = np.zeros(elements // 2, np.float32), np.zeros(elements // 2, np.float32)
    copy, _ = timed(lambda: np.copyto(target, source), repeats)
    compute = 2 * 9 * int(np.prod(layer.output_shape)) / peak / 1e9
    return {
        "layer": [channels, size, stride],
        "kernel": layer.kernel,
        "min_us": best * 1e6,
        "median_us": median * 1e6,
        "compute_limit_us": compute * 1e6,
        "copy_limit_us": copy * 1e6,
        "share": compute / best,
    }


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", "--repeats", type=int, default=100, help="timed calls of each layer")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/dwconv.json"), help="JSON file")
    options = parser.parse_args()
    peak = peak_gflops(40)
    print(f"{processor_name()}; one thread; peak {peak:.0f} GFLOP/s")
    print(f"{'channels, size, stride':<26}{'min us':>9}{'median':>9}{'compute':>9}{'copy':>9}{'share':>8}")
    rows = [measure(*layer, options.repeats, peak) for layer in LAYERS]
    for row in rows:
        times = "".join(f"{row[key]:>9.1f}" for key in ("min_us", "median_us", "compute_limit_us", "copy_limit_us"))
        print(f"{row['layer']!s:<26}{times}{row['share']:>8.0%}")
    total = sum(count * float(row["min_us"]) for count, row in zip(COUNTS, rows, strict=True))
    print(f"all thirteen layers: {total / 1e3:.3f} ms (sum of minima)")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"processor": processor_name(), "peak_gflops": peak, "rows": rows, "total_ms": total / 1e3}
    options.output.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
