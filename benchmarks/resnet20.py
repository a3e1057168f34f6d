"""CIFAR ResNet-20 with real weights: accuracy after one-shot group pruning, beside the latency of the same pattern.

Needs the weights and 500 test images under ``$EDGE_SPARSE_DATA`` (``vision/cifar_resnet/resnet20-12fca82f.th`` and
``eval_only_no_licence/cifar10_test_jpg``). Nothing is trained after pruning, so the accuracies only rank the patterns.

    pip install 'edge_sparse[torch,image]'
    EDGE_SPARSE_DATA=... python benchmarks/resnet20.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from turns import take_turns

import edge_sparse as es
from edge_sparse.machine import processor_name, versions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "converters"))
from zoo.resnet import CifarResNet

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def module(data: Path) -> torch.nn.Module:
    """Return the network with its published weights."""
    loaded = torch.load(data / "vision/cifar_resnet/resnet20-12fca82f.th", map_location="cpu", weights_only=True)
    network = CifarResNet()
    network.load_state_dict({name.removeprefix("module."): value for name, value in loaded["state_dict"].items()})
    return network.eval()


def images(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 3, 32, 32) as the network wants them, and labels."""
    paths = sorted((data / "eval_only_no_licence/cifar10_test_jpg").glob("*.jpg"))
    labels = np.array([CLASSES.index(path.name.split("_")[0]) for path in paths])
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths]) / 255
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(0, 3, 1, 2), np.float32), labels


def logits(session: es.Session, x: np.ndarray) -> np.ndarray:
    """Run image by image."""
    return np.concatenate([session(image[None]) for image in x])


def main() -> None:
    """Print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", "--rounds", type=int, default=8, help="turns of every session")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/benchmarks/resnet20.json"))
    options = parser.parse_args()
    if "EDGE_SPARSE_DATA" not in os.environ:
        parser.error("set EDGE_SPARSE_DATA to the folder of the weights and images")
    data = Path(os.environ["EDGE_SPARSE_DATA"])
    network, (x, labels) = module(data), images(data)
    print(f"{processor_name()}; {versions()}")
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    example = (torch.from_numpy(x[:1]),)
    dense = es.convert(network, example).session()
    found = logits(dense, x)
    error = float(np.abs(found - expected).max())
    top = {"torch": float((expected.argmax(1) == labels).mean()), "dense": float((found.argmax(1) == labels).mean())}
    print(f"dense: torch {top['torch']:.1%}, edge_sparse {top['dense']:.1%}, largest difference of a logit {error:.1e}")
    sessions = {"dense": dense}
    rows = []
    for group in (4, 8, 16, 32):
        for sparsity in (0.3, 0.5, 0.7):
            accuracy = {}
            for rearrange in (False, True):
                result = es.convert(network, example, sparsity=sparsity, group=group, rearrange=rearrange)
                session = sessions[f"gs{group}x1 {sparsity:.0%}"] = result.session()
                accuracy[rearrange] = float((logits(session, x).argmax(1) == labels).mean())
            rows.append({"group": group, "sparsity": sparsity, "plain": accuracy[False], "rearranged": accuracy[True]})
    timings = take_turns({name: (lambda s=s: s(x[:1])) for name, s in sessions.items()}, options.rounds, 200)
    base = timings["dense"].minimum
    print("| pattern | sparsity | accuracy | rearranged | min ms | x dense |\n|---|---|---|---|---|---|")
    print(f"| dense | 0% | {top['dense']:.1%} | | {base:.3f} | 1.00 |")
    for row in rows:
        timing = timings[f"gs{row['group']}x1 {row['sparsity']:.0%}"]
        row |= timing.summary()
        accuracies = f"{row['plain']:.1%} | {row['rearranged']:.1%}"
        speed = f"{timing.minimum:.3f} | {base / timing.minimum:.2f}"
        print(f"| gs{row['group']}x1 | {row['sparsity']:.0%} | {accuracies} | {speed} |")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"processor": processor_name(), "versions": versions(), "accuracy": top, "logit_error": error}
    options.output.write_text(json.dumps(report | {"dense": timings["dense"].summary(), "rows": rows}, indent=1))
    print(f"\nwritten: {options.output}")


if __name__ == "__main__":
    main()
