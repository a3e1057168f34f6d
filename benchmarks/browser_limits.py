"""What the machine allows one thread of WebAssembly: 4-lane multiply-adds, and reads from caches and memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from browser_page import PAGES
from playwright.sync_api import Page

__all__ = ["Limits", "compile_limits", "measure_limits", "multiply_add_limit"]

SIZES = {"L1": 16 << 10, "L2": 512 << 10, "L3": 8 << 20, "DRAM": 256 << 20}


@dataclass(frozen=True)
class Limits:
    """GFLOP/s of multiply-adds, without and with fusing, and GB/s of reads."""

    multiply_add: float
    relaxed_multiply_add: float
    reads: dict[str, float]

    def lines(self) -> list[str]:
        """Return the results as lines of text."""
        reads = ", ".join(f"{name} {value:.0f}" for name, value in self.reads.items())
        return [
            f"4-lane multiply+add {self.multiply_add:.1f} GFLOP/s, fused (relaxed) {self.relaxed_multiply_add:.1f}",
            f"reads, GB/s: {reads}",
        ]

    def record(self) -> dict[str, object]:
        """Return everything for the JSON file."""
        return asdict(self)


def compile_limits(folder: Path) -> None:
    """Compile limit.c as it is and with relaxed SIMD."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, flags in {"limit": ["-msimd128"], "relaxed": ["-msimd128", "-mrelaxed-simd"]}.items():
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-O2", "-nostdlib", "-s"]
        command += [*flags, "-Wl,--no-entry", "-o", str(folder / f"{name}.wasm"), str(PAGES / "limit.c")]
        subprocess.run(command, check=True)


def multiply_add_limit(page: Page, name: str = "limit") -> float:
    """Return GFLOP/s of multiply-adds, measured in a page of limit.js."""
    return page.evaluate("(name) => bench.multiplyAdds(name)", name)


def measure_limits(page: Page) -> Limits:
    """Return all limits, measured in a page of limit.js."""
    reads = {name: page.evaluate("(bytes) => bench.reads(bytes)", size) for name, size in SIZES.items()}
    return Limits(multiply_add_limit(page), multiply_add_limit(page, "relaxed"), reads)
