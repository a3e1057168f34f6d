"""What whole MobileNets cost an ARM processor that is not here: instructions, and bytes from memory.

Instructions: the static aarch64 program runs the network under qemu-user with a plugin that counts; those of a run are
the difference between more and fewer repeats, so start and load fall out. ``per MAC`` leaves 5 million for all but the
1x1 layers (stem, depthwise, pooling, head) and divides the rest by the kept multiply-adds of these.

Bytes: the same kernels in the host's SSE2 build under cachegrind with the caches of a Raspberry Pi 4 (32 KiB of level 1
per core, 1 MiB of level 2). Missing lines times 64, writes that miss included. The limit: weights and indices once, and
every tensor between two steps once (``once``), or written by one step and read by the next (``per step``), since those
of 112 x 112 pixels fit no such cache.

qemu and cachegrind say nothing about time.

    apt-get install qemu-user valgrind
    python benchmarks/arm_networks.py

With ``--arm64-root`` (Debian bookworm for arm64 with python3, made by ``mmdebstrap --arch=arm64 --variant=extract
--include=python3,libstdc++6 bookworm ROOT``) and ``--arm64-packages`` (wheels of tflite-runtime 2.14 and NumPy 1.26,
unpacked), LiteRT runs the same network beside it, dense and with its 1x1 kernels as sparse tensors.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned

from edge_sparse.format.writer import write_model
from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import Model, Op, Storage

ROOT = Path(__file__).resolve().parent.parent
#: Instructions that a run may take beyond the 1x1 layers, and per kept multiply-add of these.
REST, PER_MAC = 5_000_000, 0.45
#: Bytes moved may exceed the limit by this.
TRAFFIC = 1.3
CACHES = ("--D1=32768,2,64", "--LL=1048576,16,64")


def build_program(target: str, folder: Path) -> Path:
    """Return the static program edge-sparse for a zig target."""
    command = [sys.executable, str(ROOT / "kernels_arm" / "build.py"), "--program", "cli", "-o", str(folder)]
    subprocess.run([*command, "--target", target], check=True, stdout=subprocess.DEVNULL)
    return folder / "edge-sparse"


def build_plugin(folder: Path) -> Path:
    """Return the plugin that counts."""
    plugin = folder / "count_instructions.so"
    source = ROOT / "benchmarks" / "arm" / "count_instructions.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", str(source), "-o", str(plugin)], check=True)
    return plugin


def instructions(program: Path, plugin: Path, cpu: str, arguments: list[str]) -> int:
    """Return how many instructions one more run takes."""
    counts = []
    for repeats in (1, 4):
        command = ["qemu-aarch64", "-cpu", cpu, "-plugin", str(plugin), str(program), "bench", *arguments]
        command += ["--warmup", "0", "--repeats", str(repeats)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        found = re.search(r"^instructions (\d+)$", result.stderr, re.MULTILINE)
        assert found, result.stderr
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) // 3


LITERT = """
import sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
port = interpreter.get_input_details()[0]
interpreter.set_tensor(port["index"], np.ones(port["shape"], np.float32))
for _ in range(int(sys.argv[2])):
    interpreter.invoke()
"""


def litert_instructions(root: Path, packages: Path, plugin: Path, cpu: str, model: bytes) -> int:
    """Return how many instructions one more run of LiteRT takes."""
    # Nothing that runs for a while by itself: threads of OpenBLAS spin, and hashes decide how often tables grow.
    environment = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(packages)}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    counts = []
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        Path(file.name).write_bytes(model)
        for repeats in (2, 12):
            command = ["qemu-aarch64", "-L", str(root), "-cpu", cpu, "-plugin", str(plugin)]
            command += [str(root / "usr" / "bin" / "python3.11"), "-c", LITERT, file.name, str(repeats)]
            result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            found = re.search(r"^instructions (\d+)$", result.stderr, re.MULTILINE)
            assert found, result.stderr
            counts.append(int(found[1]))
    return (counts[1] - counts[0]) // 10


def traffic(program: Path, arguments: list[str]) -> int:
    """Return the bytes that one more run moves between the last cache and memory."""
    lines = []
    for repeats in (1, 3):
        with tempfile.NamedTemporaryFile() as output:
            command = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", *CACHES, "--I1=49152,3,64"]
            command += [f"--cachegrind-out-file={output.name}", str(program), "bench", *arguments, "--variants", "3"]
            command += ["--warmup", "0", "--repeats", str(repeats)]
            subprocess.run(command, check=True, capture_output=True)
            text = Path(output.name).read_text()
        events = re.search(r"^events: (.*)$", text, re.MULTILINE)
        summary = re.search(r"^summary: (.*)$", text, re.MULTILINE)
        assert events is not None
        assert summary is not None
        counted = dict(zip(events[1].split(), map(int, summary[1].split()), strict=True))
        lines.append(counted["DLmr"] + counted["DLmw"] + counted["ILmr"])
    return 64 * (lines[1] - lines[0]) // 2


def pointwise_macs(model: Model) -> int:
    """Return the kept multiply-adds of the 1x1 layers."""
    plan, total = model.plans[0], 0
    for step in plan.steps:
        if step.op is Op.SPMM and ".pointwise" in step.name:
            matrix = model.matrices[int(step.attributes["matrix"])]
            total += matrix.kept_weights * plan.tensors[step.outputs[0]].size // matrix.rows
    return total


def limits(model: Model) -> tuple[int, int]:
    """Return the fewest bytes of a run: every tensor once, and once for every step that reads or writes it."""
    plan = model.plans[0]
    weights = sum(m.values.nbytes + (0 if m.kept is None else m.kept.nbytes) for m in model.matrices)
    weights += sum(t.data.nbytes for t in plan.tensors if t.storage is Storage.CONSTANT and t.data is not None)
    moving = [n for step in plan.steps for n in (*step.inputs, *step.outputs) if n >= 0]
    moving = [n for n in moving if plan.tensors[n].storage is not Storage.CONSTANT]
    sizes = {n: plan.tensors[n].size * plan.tensors[n].dtype.numpy.itemsize for n in moving}
    return weights + sum(sizes.values()), weights + sum(sizes[n] for n in moving)


def main() -> None:
    """Print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", default="4", help="4,8,16,32")
    parser.add_argument("--sparsities", default="0,0.5,0.8,0.9")
    parser.add_argument("--cpu", default="cortex-a72")
    parser.add_argument("--skip-traffic", action="store_true")
    parser.add_argument("--arm64-root", type=Path)
    parser.add_argument("--arm64-packages", type=Path)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/build/arm_networks.json"))
    options = parser.parse_args()
    folder = options.json.parent
    folder.mkdir(parents=True, exist_ok=True)
    plugin = build_plugin(folder)
    program = build_program("aarch64-linux-musl", folder / "aarch64")
    host = None if options.skip_traffic else build_program("x86_64-linux-musl", folder / "x86_64")
    print(f"MobileNet-v1 1.0 224 on qemu {options.cpu}; cachegrind of the SSE2 build: {processor_name()}")
    print(
        "| network | M instructions | per kept 1x1 MAC | MB moved | limit once | per step |\n|---|---|---|---|---|---|"
    )
    results = {}
    for group in map(int, options.groups.split(",")):
        for sparsity in map(float, options.sparsities.split(",")):
            model = lower(*pruned(mobilenet_v1(), group, sparsity))
            with tempfile.TemporaryDirectory() as place:
                path = str(Path(place) / "network.egs")
                write_model(model, path)
                count = instructions(program, plugin, options.cpu, [path])
                moved = traffic(host, [path]) if host else 0
            macs, (once, per_step) = pointwise_macs(model), limits(model)
            share = (count - REST) / macs
            missed = "" if share <= PER_MAC else " MISSED"
            name = f"gs{group}x1 {sparsity:.0%}"
            cells = [f"{count / 1e6:.1f}", f"{share:.3f}{missed}", f"{moved / 1e6:.1f}"]
            cells += [f"{once / 1e6:.1f} ({moved / once:.2f}x)", f"{per_step / 1e6:.1f} ({moved / per_step:.2f}x)"]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
            results[name] = {
                "instructions": count,
                "pointwise_macs": macs,
                "per_mac": share,
                "bytes": moved,
                "limit_once": once,
                "limit_per_step": per_step,
            }
    if options.arm64_root:
        from peers.tflite_file import tflite_bytes

        for sparsity in map(float, options.sparsities.split(",")):
            graph = pruned(mobilenet_v1(), 4, sparsity)[0]
            for sparse in (False, True):
                where = (options.arm64_root, options.arm64_packages, plugin, options.cpu)
                count = litert_instructions(*where, tflite_bytes(graph, sparse=sparse))
                name = f"LiteRT {sparsity:.0%}, {'sparse tensors' if sparse else 'dense'}"
                print(f"| {name} | {count / 1e6:.1f} | | | | |", flush=True)
                results[name] = {"instructions": count}
    report = {"cpu": options.cpu, "machine": processor_name(), "versions": versions(), "results": results}
    options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
