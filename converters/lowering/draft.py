"""The plan while it is being made: steps on tensors that have a layout but no place in memory yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph, Node

from edge_sparse.errors import ConvertError
from edge_sparse.format.ops import OPS
from edge_sparse.plan import Activation, DType, Layout, Op, SparseMatrix, Storage

__all__ = ["Draft", "DraftStep", "DraftTensor", "activation_attributes"]


@dataclass(eq=False)
class DraftTensor:
    """A tensor without offset and strides.

    A tensor with a ``parent`` is a view: the slice of the parent that begins at index ``start`` of ``axis``, or, with
    another number of axes, the same elements with trailing axes of length one added or removed.
    """

    name: str
    shape: tuple[int, ...]
    layout: Layout
    storage: Storage = Storage.ARENA
    data: npt.NDArray[np.generic] | None = None
    parent: DraftTensor | None = None
    axis: int = 1
    start: int = 0
    boundary: str = ""

    @property
    def root(self) -> DraftTensor:
        """The tensor that owns the memory."""
        tensor = self
        while tensor.parent is not None:
            tensor = tensor.parent
        return tensor

    @property
    def is_image(self) -> bool:
        """Whether the tensor lies as planes or pixels, not as plain rows."""
        return self.layout is not Layout.ROW_MAJOR


@dataclass(eq=False)
class DraftStep:
    """A step on draft tensors; absent optional inputs are None."""

    op: Op
    name: str
    inputs: list[DraftTensor | None]
    output: DraftTensor
    attributes: dict[str, int | float] = field(default_factory=dict)


class Draft:
    """Steps, tensors and matrices made so far, and the tensor that holds each value of the graph.

    Parameters
    ----------
    graph : Graph
        What is being lowered.
    groups : mapping of str to int
        Group size of the named conv and linear nodes.
    layout : Layout
        Layout of all image tensors in the arena.
    value_dtype : DType
        Element type of matrix values.
    """

    def __init__(self, graph: Graph, groups: Mapping[str, int], layout: Layout, value_dtype: DType) -> None:
        self.graph = graph
        self.groups = groups
        self.layout = layout
        self.value_dtype = value_dtype
        self.steps: list[DraftStep] = []
        self.matrices: list[SparseMatrix] = []
        self.inputs: list[DraftTensor] = []
        self.outputs: list[DraftTensor] = []
        self.tensors: dict[str, DraftTensor] = {}
        self._copies: dict[tuple[DraftTensor, Layout], DraftTensor] = {}
        self._phases: dict[tuple[DraftTensor, tuple[int, int]], DraftTensor] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value of the graph."""
        return tuple(int(length) for length in self.graph.values[name].shape)

    def is_constant(self, name: str) -> bool:
        """Tell whether a value of the graph is a constant."""
        return self.graph.values[name].data is not None

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Return the data of a constant value as float32."""
        data = self.graph.values[name].data
        if data is None:
            raise ConvertError(
                "WEIGHT_NOT_CONSTANT", f"{name} must be a constant", "export the model with fixed parameters"
            )
        return np.asarray(data, np.float32)

    def constant(self, name: str, data: npt.NDArray[np.float32]) -> DraftTensor:
        """Make a contiguous constant tensor."""
        return DraftTensor(name, data.shape, Layout.ROW_MAJOR, Storage.CONSTANT, data)

    def bias(self, name: str | None) -> DraftTensor | None:
        """Make the constant of an optional bias value."""
        return None if not name else self.constant(name, np.ascontiguousarray(self.array(name).reshape(-1)))

    def produce(self, name: str, *, image: bool, shape: tuple[int, ...] | None = None) -> DraftTensor:
        """Make the arena tensor of a value of the graph."""
        layout = self.layout if image else Layout.ROW_MAJOR
        tensor = DraftTensor(name, shape or self.shape(name), layout)
        self.tensors[name] = tensor
        return tensor

    def temporary(self, name: str, shape: tuple[int, ...], *, image: bool) -> DraftTensor:
        """Make an arena tensor that is no value of the graph."""
        return DraftTensor(name, shape, self.layout if image else Layout.ROW_MAJOR)

    def step(
        self,
        op: Op,
        name: str,
        inputs: list[DraftTensor | None],
        output: DraftTensor,
        attributes: Mapping[str, int | float] | None = None,
    ) -> None:
        """Append a step; ``attributes`` must be the ones that the op code lists."""
        given = dict(attributes or {})
        ordered = {key: given.pop(key) for key, _ in OPS[op].attributes}
        assert not given, f"{op.name} has no attributes {sorted(given)}"
        absent = [None] * (len(OPS[op].inputs) - len(inputs))
        self.steps.append(DraftStep(op, name, [*inputs, *absent], output, ordered))

    def value(self, name: str) -> DraftTensor:
        """Return the tensor of a value, whatever its layout and storage; constants become constant tensors."""
        if name not in self.tensors:
            self.tensors[name] = self.constant(name, np.ascontiguousarray(self.array(name)))
        return self.tensors[name]

    def image(self, name: str) -> DraftTensor:
        """Return the value as an image tensor in the arena; a copy is made where it is something else."""
        if len(self.shape(name)) != 4:
            raise ConvertError(
                "NOT_AN_IMAGE",
                f"{name} has shape {self.shape(name)} where an image (N, C, H, W) is needed",
                "reshape it to four axes in the source model",
            )
        return self._as_layout(self.value(name), self.layout)

    def planes(self, name: str) -> DraftTensor:
        """Return the value as a CHW image in the arena, whatever the layout of the others."""
        return self._as_layout(self.value(name), Layout.CHW)

    def row_major(self, name: str, *, from_input: bool = False) -> DraftTensor:
        """Return the value as a row-major tensor in the arena (or the caller's input, with ``from_input``)."""
        tensor = self.value(name)
        if from_input and tensor.storage is Storage.INPUT and not tensor.is_image:
            return tensor
        return self._as_layout(tensor, Layout.ROW_MAJOR)

    def _as_layout(self, tensor: DraftTensor, layout: Layout) -> DraftTensor:
        if tensor.storage is Storage.ARENA and tensor.layout is layout:
            return tensor
        key = (tensor, layout)
        if key not in self._copies:
            copy = DraftTensor(f"{tensor.name}.copy", tensor.shape, layout)
            self.step(Op.COPY, f"{tensor.name}.copy", [tensor], copy)
            self._copies[key] = copy
        return self._copies[key]

    def phases(self, name: str, stride: tuple[int, int]) -> DraftTensor:
        """Return the phase split of an image value; all strided convolutions of the value share it."""
        tensor = self.value(name)
        if not (tensor.is_image and tensor.storage in (Storage.INPUT, Storage.ARENA)):
            tensor = self.image(name)
        key = (tensor, stride)
        if key not in self._phases:
            batch, channels, height, width = tensor.shape
            shape = (batch, stride[0] * stride[1] * channels, -(-height // stride[0]), -(-width // stride[1]))
            split = self.temporary(f"{name}.phases", shape, image=True)
            self.step(
                Op.PHASE_SPLIT,
                f"{name}.phase_split",
                [tensor],
                split,
                {"stride_h": stride[0], "stride_w": stride[1]},
            )
            self._phases[key] = split
        return self._phases[key]

    def channels(self, tensor: DraftTensor, start: int, count: int) -> DraftTensor:
        """Return a view of some channels."""
        shape = (tensor.shape[0], count, *tensor.shape[2:])
        return replace(tensor, name=f"{tensor.name}[{start}:{start + count}]", shape=shape, parent=tensor, start=start)

    def squeezed(self, tensor: DraftTensor, shape: tuple[int, ...]) -> DraftTensor:
        """Return a view whose shape differs in trailing axes of length one only."""
        if shape == tensor.shape:
            return tensor
        return replace(tensor, shape=shape, parent=tensor, start=0)


def activation_attributes(node: Node | None = None) -> dict[str, int | float]:
    """Return the activation words of a step from the attributes of a node; none without a node."""
    attributes = node.attributes if node is not None else {}
    name = str(attributes.get("activation") or "none")
    try:
        activation = Activation[name.upper()]
    except KeyError as error:
        where = f" of {node.name}" if node is not None else ""
        raise ConvertError(
            "ACTIVATION_UNKNOWN",
            f"activation {name!r}{where} is not one of {', '.join(a.name.lower() for a in Activation)}",
            "replace it in the source model",
        ) from error
    low = float(attributes.get("clamp_low", 0.0) or 0.0)  # type: ignore[arg-type]
    high = float(attributes.get("clamp_high", 0.0) or 0.0)  # type: ignore[arg-type]
    return {"activation": int(activation), "clamp_low": low, "clamp_high": high}
