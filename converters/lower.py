"""From the converter's graph to a plan that every runtime can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.lowering import convolution, elementwise, reshaping, window
from edge_sparse.converters.lowering.draft import Draft, DraftTensor
from edge_sparse.converters.lowering.emit import emit

from edge_sparse.errors import ConvertError, UnsupportedOperatorError
from edge_sparse.plan import DType, Layout, Model, Op, Storage

__all__ = ["choose_layout", "lower"]

RULES: Mapping[str, Callable[[Draft, Node], None]] = {
    "activation": elementwise.activation,
    "adaptive_avg_pool": window.adaptive_avg_pool,
    "add": elementwise.add,
    "avg_pool": window.avg_pool,
    "batch_norm": elementwise.batch_norm,
    "concat": reshaping.concat,
    "conv": convolution.conv,
    "linear": convolution.linear,
    "max_pool": window.max_pool,
    "mean": window.mean,
    "mul": elementwise.mul,
    "pad": window.pad,
    "pad_channels": reshaping.pad_channels,
    "reshape": reshaping.reshape,
    "select_channels": reshaping.select_channels,
    "softmax": reshaping.softmax,
    "subsample": window.subsample,
}

#: Row-major steps that may write the caller's output array.
_WRITES_OUTPUT = (Op.SPMM, Op.SOFTMAX, Op.MEAN, Op.COPY)


def lower(graph: Graph, groups: Mapping[str, int], *, layout: str = "auto", value_dtype: DType = DType.F32) -> Model:
    """Lower an optimised graph to a model with one plan.

    Parameters
    ----------
    graph : Graph
        Nodes in order of execution.
    groups : mapping of str to int
        Group size of pruned conv and linear nodes, by node name. Groups of zeros are dropped. Other nodes get the
        group size whose dense kernel is fastest.
    layout : {"auto", "chw", "nhwc"}
        Layout of image tensors. ``"auto"`` takes NHWC when most weights of 1x1 convolutions have groups of 16 or
        more, else CHW.
    value_dtype : DType
        Element type of the stored weights.

    Raises
    ------
    UnsupportedOperatorError
        The graph holds operations without a rule; the message lists them all.
    ConvertError
        An operation has shapes or attributes that no step can express.
    """
    if layout not in ("auto", "chw", "nhwc"):
        raise ConvertError("LAYOUT_UNKNOWN", f"layout {layout!r} is unknown", "use auto, chw or nhwc")
    unknown = sorted({node.op for node in graph.nodes if node.op not in RULES})
    if unknown:
        raise UnsupportedOperatorError(
            "OPERATOR_UNSUPPORTED",
            f"no lowering rule for {', '.join(unknown)}",
            f"supported operations: {', '.join(sorted(RULES))}",
        )
    names = {node.name for node in graph.nodes if node.op in ("conv", "linear")}
    missing = sorted(set(groups) - names)
    if missing:
        raise ConvertError(
            "LAYER_UNKNOWN",
            f"groups name {', '.join(missing)}, which the graph does not have",
            "name conv and linear nodes of the optimised graph",
        )
    chosen = choose_layout(graph, groups) if layout == "auto" else Layout[layout.upper()]
    draft = Draft(graph, groups, chosen, value_dtype)
    for name in graph.inputs:
        draft.inputs.append(_input(draft, name))
    for node in graph.nodes:
        RULES[node.op](draft, node)
    for name in graph.outputs:
        draft.outputs.append(_output(draft, name))
    plan = emit(draft, "main")
    return Model((plan,), tuple(draft.matrices), metadata={"name": graph.name, "layout": chosen.name.lower()})


def choose_layout(graph: Graph, groups: Mapping[str, int]) -> Layout:
    """Return NHWC when most weights of 1x1 convolutions are in groups of 16 or more, else CHW."""
    wide = narrow = 0
    for node in graph.nodes:
        weight = graph.values[node.inputs[1]].shape if node.op == "conv" else ()
        if len(weight) == 4 and tuple(weight[2:]) == (1, 1):
            size = int(np.prod(weight))
            if groups.get(node.name, 0) >= 16:
                wide += size
            else:
                narrow += size
    return Layout.NHWC if wide > narrow else Layout.CHW


def _input(draft: Draft, name: str) -> DraftTensor:
    value = draft.graph.values[name]
    if np.dtype(value.dtype) != np.float32:
        raise ConvertError("INPUT_DTYPE", f"input {name} has type {value.dtype}", "convert the model to float32 inputs")
    tensor = DraftTensor(name, draft.shape(name), _boundary_layout(draft, name), Storage.INPUT)
    draft.tensors[name] = tensor
    return tensor


def _boundary_layout(draft: Draft, name: str) -> Layout:
    if len(draft.shape(name)) != 4:
        return Layout.ROW_MAJOR
    return Layout.NHWC if draft.graph.input_layouts.get(name) == "nhwc" else Layout.CHW


def _output(draft: Draft, name: str) -> DraftTensor:
    """Return the output tensor: the value itself if its step may write it and nobody else needs it, else a copy."""
    tensor = draft.value(name)
    touching = [step for step in draft.steps if tensor.root in _roots_of(step.inputs)]
    writers = [step for step in draft.steps if step.output.root is tensor.root]
    own = tensor.storage is Storage.ARENA and tensor.parent is None and not tensor.is_image
    # A reshape may be a view of the same memory, and an output too.
    own = own and all(other is tensor or other.root is not tensor for other in draft.tensors.values())
    if own and not touching and len(writers) == 1 and writers[0].output is tensor and writers[0].op in _WRITES_OUTPUT:
        tensor.storage, tensor.name = Storage.OUTPUT, name
        return tensor
    layout = _boundary_layout(draft, name) if tensor.is_image else Layout.ROW_MAJOR
    output = DraftTensor(name, tensor.shape, layout, Storage.OUTPUT)
    draft.step(Op.COPY, f"{name}.output", [tensor], output)
    return output


def _roots_of(tensors: list[DraftTensor | None]) -> list[DraftTensor]:
    return [tensor.root for tensor in tensors if tensor is not None]
