"""Programs of the C core, run here or under qemu's model of an ARM processor."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_sparse.port import Port

__all__ = ["ROOT", "Machine", "build"]

ROOT = Path(__file__).resolve().parents[2]


def _builder():
    spec = importlib.util.spec_from_file_location("edge_sparse_build", ROOT / "kernels_arm" / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


build = _builder()


@dataclass(frozen=True)
class Machine:
    """Where programs run: nothing before them, or qemu and its options."""

    runner: list
    replay_program: Path
    command: Path

    def program(self, *arguments, **options):
        """Run the program edge-sparse."""
        words = [*self.runner, self.command, *arguments]
        return subprocess.run(list(map(str, words)), capture_output=True, timeout=300, **options)

    def replay(self, model, path, runs, folder, plan="", variants=15, threads=1):
        """Run a plan on inputs by name; return every run's outputs by name, and the kernels."""
        plan = model.plan(plan)
        given, taken = Path(folder) / "inputs", Path(folder) / "outputs"
        with given.open("wb") as file:
            for inputs in runs:
                for number in plan.inputs:
                    data = np.ascontiguousarray(inputs[plan.tensors[number].name]).tobytes()
                    file.write(struct.pack("<Q", len(data)) + data)
        words = [*self.runner, self.replay_program, path, plan.name, variants, threads, given, taken]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return _outputs(plan, taken.read_bytes(), len(runs)), done.stdout.split()


def _outputs(plan, data, count):
    results, at = [], 0
    for _ in range(count):
        outputs = {}
        for number in plan.outputs:
            port = Port.of(plan.tensors[number])
            (length,) = struct.unpack_from("<Q", data, at)
            array = np.frombuffer(data, port.dtype, length // port.dtype.itemsize, at + 8)
            outputs[port.name] = array.reshape((-1, *port.shape[1:]))
            at += 8 + length
        results.append(outputs)
    assert at == len(data)
    return results
