"""MobileNet-v1 1.0 at 224, float32, in one page: edge_sparse, dense and pruned, against onnxruntime-web and tfjs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.lower import lower
from mobilenet_graph import mobilenet_v1, pruned
from peers.onnx_file import onnx_bytes
from peers.tfjs_file import tfjs_layers
from playwright.sync_api import Page
from turns import Timing, take_turns

from edge_sparse.format.writer import write_model

__all__ = ["DENSE_PEERS", "SPARSITIES", "write_models"]

DENSE_PEERS = ("tfjs", "onnxruntime-web")
ENGINES = {"tfjs": "tfjs", "onnxruntime-web": "onnxruntime"}
SPARSITIES = (0.3, 0.5, 0.8, 0.9)
#: How many times faster than the faster dense peer, at least.
TARGETS = {0.0: 1.4, 0.3: 1.7, 0.5: 2.3, 0.8: 4.3, 0.9: 5.5}
SIZE = 224
#: Largest difference between engines, over the largest output.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Rival:
    """One engine with one set of weights."""

    name: str
    engine: str
    model: str
    sparsity: float
    group: int = 0
    options: dict[str, object] = field(default_factory=dict)


def model_name(group: int, sparsity: float) -> str:
    """Return the name of the files of one pruned network."""
    return f"gs{group}-{round(100 * sparsity)}"


def rivals(groups: tuple[int, ...]) -> list[Rival]:
    """Return all rivals. Both peers also get pruned weights: they show what zeros are worth to them."""
    found = [Rival(name, engine, "dense", 0.0) for name, engine in ENGINES.items()]
    for sparsity in (0.8, 0.9):
        model = model_name(groups[0], sparsity)
        found += [Rival(f"{name}, {sparsity:.0%} zeros", ENGINES[name], model, sparsity) for name in ENGINES]
    for variant in ("simd", "relaxed"):
        options: dict[str, object] = {"variant": variant}
        mark = "" if variant == "simd" else ", relaxed"
        found.append(Rival(f"edge_sparse dense{mark}", "edge_sparse", "dense", 0.0, 0, options))
        for group in groups:
            for s in SPARSITIES:
                name = f"edge_sparse gs{group}x1 {s:.0%}{mark}"
                found.append(Rival(name, "edge_sparse", model_name(group, s), s, group, options))
    return found


def write_models(folder: Path, groups: tuple[int, ...]) -> np.ndarray:
    """Write every engine's files, all from the same weights, and return the picture that all get."""
    folder.mkdir(parents=True, exist_ok=True)
    dense = mobilenet_v1()
    networks: dict[str, tuple[Graph, dict[str, int]]] = {"dense": (dense, {})}
    networks |= {model_name(g, s): pruned(dense, g, s) for g in groups for s in SPARSITIES}
    for name, (graph, layers) in networks.items():
        write_model(lower(graph, layers), folder / f"{name}.egs", overwrite=True)
        (folder / f"{name}.onnx").write_bytes(onnx_bytes(graph))
        operations, weights = tfjs_layers(graph)
        (folder / f"{name}.json").write_text(json.dumps(operations))
        (folder / f"{name}.bin").write_bytes(weights)
    x = np.random.default_rng(0).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    (folder / "x.bin").write_bytes(x.tobytes())
    return x
