"""One row per convolution and linear layer: what became of it, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from edge_sparse.converters.pruning.break_even import break_even_density
from edge_sparse.converters.pruning.layers import Layer, layers_of
from edge_sparse.converters.selection import Selection

from edge_sparse.format.column_index import encode_columns
from edge_sparse.plan import Model, SparseMatrix

__all__ = ["LayerRow", "layer_table", "matrix_bytes"]


@dataclass(frozen=True)
class LayerRow:
    """A convolution or linear layer in the converted model.

    Parameters
    ----------
    name, source, operator : str
        Node name; module path and line in the source model; conv1x1, convkxk, linear, depthwise or stem.
    weight_shape, output_shape : tuple of int
        (O, I / groups, KH, KW) or (M, K), and (N, C, H, W) or (..., M).
    pattern : str
        ``gs4x1`` and so on for sparse layers, ``dense`` otherwise.
    density : float
        Stored weights as a share of all weights.
    dense_bytes, bytes : int
        Weights as dense float32, and as stored (values, index and scales).
    sparse : bool
        Whether the layer runs sparse; ``reason`` says why.
    break_even_density : float
        Below this density the sparse form, in the layer's group size, takes fewer bytes than the dense one.
    """

    name: str
    source: str
    operator: str
    weight_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    pattern: str
    density: float
    dense_bytes: int
    bytes: int
    sparse: bool
    reason: str
    break_even_density: float


def matrix_bytes(matrix: SparseMatrix) -> int:
    """Return the bytes of a matrix's counts, index, values and scales in a file."""
    index = encode_columns(matrix)[1]
    scales = 0 if matrix.scales is None else matrix.scales.nbytes
    return matrix.counts.nbytes + len(index) + matrix.values.nbytes + scales


def layer_table(selection: Selection, model: Model) -> tuple[LayerRow, ...]:
    """Describe every layer of the selection as the model stores it."""
    matrices = {matrix.name: matrix for matrix in model.matrices}
    nodes = {node.name: node for node in selection.graph.nodes}
    rows = []
    for layer in layers_of(selection.graph):
        node, pattern = nodes[layer.node], selection.patterns[layer.node]
        matrix, weights = matrices.get(layer.node), int(np.prod(layer.shape))
        stored = weights if matrix is None else matrix.kept_weights
        rows.append(
            LayerRow(
                name=layer.node,
                source=node.source,
                operator=layer.operator,
                weight_shape=layer.shape,
                output_shape=tuple(selection.graph.values[node.outputs[0]].shape),
                pattern=f"gs{pattern.group}x1" if pattern.sparse else "dense",
                density=stored / max(1, weights),
                dense_bytes=4 * weights,
                bytes=4 * weights if matrix is None else matrix_bytes(matrix),
                sparse=pattern.sparse,
                reason=pattern.reason,
                break_even_density=_break_even(layer, pattern.group, matrix),
            )
        )
    return tuple(rows)


def _break_even(layer: Layer, group: int, matrix: SparseMatrix | None) -> float:
    if matrix is None:
        return 0.0
    value_bytes = {"S8": 1.0, "S4": 0.5}.get(matrix.dtype.name, float(matrix.dtype.numpy.itemsize))
    return break_even_density(layer.shape[0] // layer.groups, layer.shape[1] * layer.taps, group, value_bytes)
