"""Say what is on pictures, or on what the camera sees.

    python classify.py digits.egs ../digits/images/*.png
    python classify.py digits.egs --camera --threads 3
    python classify.py digits.egs ../digits/images/7.png --repeat 200     # time and memory

The file must hold an image record (``edge-sparse convert --image``).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import edge_sparse as es
from edge_sparse.machine import peak_memory_bytes, processor_name, usable_cores

NO_CAMERA = """\
picamera2 cannot be imported: {error}
- It comes with Raspberry Pi OS, not with pip: sudo apt install python3-picamera2
- A virtual environment must see it: python3 -m venv --system-site-packages
- "numpy.dtype size changed": it was built for another NumPy. On Raspberry Pi OS 12 (bookworm): pip install 'numpy<2'"""


@contextmanager
def camera(width: int, height: int) -> Iterator[Any]:
    """Give a function that returns the next picture as an RGB array."""
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:
        sys.exit(NO_CAMERA.format(error=error))
    device = Picamera2()
    # picamera2 names formats after the order in a little-endian word: BGR888 has red first in memory.
    device.configure(device.create_video_configuration({"size": (width, height), "format": "BGR888"}))
    device.start()
    try:
        yield device.capture_array
    finally:
        device.stop()
        device.close()


def show(name: str, labels: list[tuple[str, float]]) -> None:
    """Print the labels of one picture in a line."""
    print(f"{name}: " + ", ".join(f"{label} {probability:.1%}" for label, probability in labels), flush=True)


def watch(session: es.Session, top: int) -> None:
    """Classify what the camera sees until Control-C."""
    with camera(640, 480) as picture:
        try:
            while True:
                start = time.perf_counter()
                labels = session.classify(picture(), top=top)
                show(f"{1e3 * (time.perf_counter() - start):.1f} ms with the camera", labels)
        except KeyboardInterrupt:
            print()


def measure(session: es.Session, repeats: int) -> None:
    """Print how long the network itself takes, without reading and resizing pictures, and the memory of the process."""
    inputs = session.random_inputs()
    seconds = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        session.run(inputs)
        seconds.append(time.perf_counter() - start)
    print(
        f"{session.backend}, {session.threads} thread(s), {processor_name()}: minimum {1e3 * min(seconds):.3f} ms, "
        f"median {1e3 * statistics.median(seconds):.3f} ms; peak memory {peak_memory_bytes() / 2**20:.0f} MiB"
    )


def main() -> int:
    """Classify from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an .egs file")
    parser.add_argument("pictures", nargs="*", help="PNG or JPEG files")
    parser.add_argument("--camera", action="store_true", help="classify what the camera sees")
    parser.add_argument("--top", type=int, default=3, help="labels to show")
    parser.add_argument("-t", "--threads", type=int, help="default: all cores but one, at least one")
    parser.add_argument("--backend", default="auto", help="native, numba or reference; default: the fastest here")
    parser.add_argument("--repeat", type=int, default=0, help="also time this many runs")
    options = parser.parse_args()
    if not options.pictures and not options.camera and not options.repeat:
        parser.error("name pictures, or ask for --camera")
    # One core stays free for the camera and the system; with all of them busy the slowest decides each step.
    threads = options.threads or max(1, usable_cores() - 1)
    try:
        with es.load(options.model, backend=options.backend, threads=threads) as session:
            for path in options.pictures:
                show(path, session.classify(path, top=options.top))
            if options.repeat:
                measure(session, options.repeat)
            if options.camera:
                watch(session, options.top)
    except es.EdgeSparseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
