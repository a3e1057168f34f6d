"""DeepSparse 1.8.0 in a Python of its own (it needs Python 3.11 or older and NumPy 1): a process that times itself."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from edge_sparse.converters.graph import Graph

from peers.onnx_file import onnx_bytes

__all__ = ["Worker"]

_SCRIPT = """
import json, sys, time
import numpy as np
from deepsparse import Engine
engine = Engine(model=sys.argv[1], batch_size=1, num_cores=int(sys.argv[3]))
x = [np.load(sys.argv[2])]
sys.stdout = sys.__stdout__
for line in sys.stdin:
    engine.run(x)
    seconds = []
    for _ in range(int(line)):
        start = time.perf_counter()
        engine.run(x)
        seconds.append(time.perf_counter() - start)
    print("times " + json.dumps(seconds), flush=True)
"""


class Worker:
    """A rival for ``turns.take_turns``; ``python`` is an interpreter that has deepsparse."""

    def __init__(self, python: str, graph: Graph, x: np.ndarray, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        model, image = Path(self._folder.name) / "model.onnx", Path(self._folder.name) / "x.npy"
        model.write_bytes(onnx_bytes(graph))
        np.save(image, x)
        command = [python, "-c", _SCRIPT, str(model), str(image), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self) -> None:
        """Run once."""
        self.seconds_of(1)

    def seconds_of(self, calls: int) -> list[float]:
        """Return the seconds of every call, as the process itself measured them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("times "):
                return list(json.loads(line.removeprefix("times ")))
        raise RuntimeError("DeepSparse stopped; run its interpreter by hand to see why")

    def close(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()
