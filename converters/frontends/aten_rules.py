"""The table of operators that the frontend knows, and the walk over a program that applies it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from edge_sparse.converters.frontends import aten_elementwise as elementwise
from edge_sparse.converters.frontends import aten_layers as layers
from edge_sparse.converters.frontends import aten_pooling as pooling
from edge_sparse.converters.frontends import aten_shapes as shapes
from edge_sparse.converters.frontends.aten_call import Call, Unsupported
from edge_sparse.converters.frontends.aten_problems import Problems
from edge_sparse.converters.frontends.aten_translation import Translation
from edge_sparse.converters.graph import Value

__all__ = ["FRESH", "RULES", "translate_nodes"]

Rule = Callable[[Translation, Call], "str | tuple[str, ...]"]

_FAMILIES: Mapping[Rule, str] = {
    layers.convolution: "conv2d.default conv2d.padding convolution.default",
    layers.linear: "linear.default",
    layers.addmm: "addmm.default",
    layers.matmul: "mm.default matmul.default",
    layers.batch_norm: "batch_norm.default _native_batch_norm_legit_no_training.default",
    elementwise.activation("relu"): "relu.default",
    elementwise.activation("hardswish"): "hardswish.default",
    elementwise.activation("hardsigmoid"): "hardsigmoid.default",
    elementwise.activation("sigmoid"): "sigmoid.default",
    elementwise.activation("silu"): "silu.default",
    elementwise.activation("tanh"): "tanh.default",
    elementwise.gelu: "gelu.default",
    elementwise.clamp: "clamp.default clamp_min.default clamp_max.default hardtanh.default relu6.default",
    elementwise.add: "add.Tensor add.Scalar",
    elementwise.subtract: "sub.Tensor sub.Scalar rsub.Tensor rsub.Scalar",
    elementwise.multiply: "mul.Tensor mul.Scalar",
    elementwise.divide: "div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode",
    elementwise.negate: "neg.default",
    elementwise.power: "pow.Tensor_Scalar",
    elementwise.softmax: "softmax.int _softmax.default",
    pooling.max_pool: "max_pool2d.default max_pool2d_with_indices.default",
    pooling.avg_pool: "avg_pool2d.default",
    pooling.adaptive_avg_pool: "adaptive_avg_pool2d.default _adaptive_avg_pool2d.default",
    pooling.adaptive_max_pool: "adaptive_max_pool2d.default",
    pooling.mean: "mean.dim",
    shapes.same: "alias.default clone.default contiguous.default detach.default lift_fresh_copy.default",
    shapes.dropout: "dropout.default feature_dropout.default",
    shapes.cast: "to.dtype to.dtype_layout _to_copy.default",
    shapes.reshape: "view.default reshape.default _unsafe_view.default flatten.using_ints unflatten.int "
    "squeeze.default squeeze.dim squeeze.dims unsqueeze.default view_as.default reshape_as.default",
    shapes.permute: "permute.default transpose.int t.default",
    shapes.channel_shuffle: "channel_shuffle.default",
    shapes.expand: "expand.default expand_as.default",
    shapes.concat: "cat.default concat.default concatenate.default",
    shapes.pad: "constant_pad_nd.default pad.default",
    shapes.slice_axis: "slice.Tensor",
    shapes.split: "split.Tensor split_with_sizes.default split.sizes chunk.default",
}

#: Rule of every operator by its full name.
RULES: Mapping[str, Rule] = {f"aten.{name}": rule for rule, names in _FAMILIES.items() for name in names.split()}

#: Operators that write a new tensor; those that move elements may return a view of their input.
FRESH = frozenset(name for name, rule in RULES.items() if rule.__module__ != shapes.__name__ or rule is shapes.concat)


def translate_nodes(t: Translation) -> None:
    """Translate every operator whose result is used.

    Raises
    ------
    UnsupportedOperatorError
        The message lists every operator without a rule, with its place in the source.
    """
    problems = Problems()
    for node in t.program.nodes:
        if node in t.program.constants or node.op not in ("call_function", "get_attr") or not node.users:
            continue
        if t.program.constant(node) is not None:
            continue
        try:
            t.results[node] = _translate(t, node)
        except Unsupported as reason:
            problems.add(node, str(reason))
            t.results[node] = _placeholder(t, node)
    for node in t.program.outputs:
        if node in t.expanded:
            problems.add(node, "its broadcast result is an output")
    problems.check()


def _translate(t: Translation, node: Any) -> str | tuple[str, ...]:
    if node.target is operator.getitem:
        return _part(t, node)
    rule = RULES.get(str(node.target))
    if rule is None:
        raise Unsupported
    return rule(t, Call.of(node))


def _part(t: Translation, node: Any) -> str:
    source, index = node.args
    parts = t.results[source]
    if isinstance(parts, str) or index >= len(parts):
        raise Unsupported(f"output {index} of {source.target}")
    return parts[index]


def _placeholder(t: Translation, node: Any) -> str | tuple[str, ...]:
    """Return values of the right shapes in place of an unsupported result, so that the walk can go on."""
    value = node.meta.get("val")
    if isinstance(value, (tuple, list)):
        return tuple(_stand_in(t, node, part) for part in value)
    return _stand_in(t, node, value)


def _stand_in(t: Translation, node: Any, value: Any) -> str:
    name = t.unique(f"unsupported.{node.name}")
    t.graph.values[name] = Value(name, tuple(int(length) for length in getattr(value, "shape", ())))
    return name
