"""From trained weights to a small, fast file: convert the dense and the pruned digits, verify, classify, compare.

Writes ``dense.egs``, ``pruned.egs`` and ``report.html`` (what became of every layer, with times and pictures of the
masks). ``make demo`` runs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from model import IMAGE, LABELS, dense, pruned, test_images

import edge_sparse as es
from edge_sparse.cli.console import Console
from edge_sparse.cli.text import Table, size
from edge_sparse.machine import processor_name

IMAGES = Path(__file__).resolve().parent / "images"


def convert_both(folder: Path, console: Console) -> dict[str, es.Session]:
    """Convert and verify both networks; the pruned one also gets the report."""
    images, _ = test_images()
    sessions = {}
    for name, (module, inputs) in {"dense": dense(), "pruned": pruned()}.items():
        with console.progress() as report:
            result = es.convert(
                module,
                inputs,
                folder / f"{name}.egs",
                labels=LABELS,
                image=IMAGE,
                verify_inputs=images[:64],
                report=folder / "report.html" if name == "pruned" else None,
                overwrite=True,
                progress=lambda stage, done, total, name=name, report=report: report(
                    f"{name}: {stage}", done / max(1, total)
                ),
            )
        print(f"\n== {name} ==\n{result}")
        sessions[name] = result.session()
    return sessions


def accuracy(session: es.Session) -> float:
    """Return the share of held-out digits that are recognised."""
    images, labels = test_images()
    found = [int(np.argmax(session(image[None]))) for image in images]
    return float(np.mean(np.array(found) == labels))


def in_turns(sessions: dict[str, es.Session], image: np.ndarray, runs: int) -> dict[str, list[float]]:
    """Time every session ``runs`` times, in turns of ten runs, so that a slow moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(runs // 10):
        for name, session in sessions.items():
            for _ in range(10):
                start = time.perf_counter()
                session(image)
                seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(sessions: dict[str, es.Session], folder: Path, console: Console) -> None:
    """Print size, accuracy and latency of both, timed in turns."""
    image = test_images()[0][:1]
    seconds = in_turns(sessions, image, 1000)
    rows = []
    for name, session in sessions.items():
        times = sorted(seconds[name])
        rows.append(
            (
                name,
                size((folder / f"{name}.egs").stat().st_size),
                f"{accuracy(session):.2%}",
                f"{1e6 * times[0]:.0f} us",
                f"{1e6 * times[len(times) // 2]:.0f} us",
            )
        )
    columns = ("network", "file", "held-out accuracy", "latency, min", "latency, median")
    console.table(Table(columns, tuple(rows), title=f"one image, one thread, {processor_name()}"))


def classify(session: es.Session, console: Console) -> None:
    """Print what the pruned network sees in the shipped pictures."""
    rows = []
    for path in sorted(IMAGES.glob("*.png")):
        label, probability = session.classify(path, top=1)[0]
        rows.append((path.name, label, f"{probability:.1%}"))
    console.table(Table(("picture", "label", "probability"), tuple(rows), title="pruned network on pictures"))


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/demo"), help="folder for files and report")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    sessions = convert_both(options.output, console)
    print()
    compare(sessions, options.output, console)
    print()
    classify(sessions["pruned"], console)
    print(f"\nopen {options.output / 'report.html'} in a browser: what became of every layer, and why")


if __name__ == "__main__":
    main()
