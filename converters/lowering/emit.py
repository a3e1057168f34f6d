"""From a draft to a plan: number the tensors and fill in strides, offsets and extents."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from edge_sparse.converters.geometry import Placement, place, placements
from edge_sparse.converters.lowering.draft import Draft, DraftTensor
from edge_sparse.converters.memory_plan import MemoryPlan, plan_memory

from edge_sparse.plan import Border, DType, Layout, Plan, Step, Storage, Tensor, row_major_strides

__all__ = ["emit", "nhwc_strides"]

_ELEMENT_BYTES = 4


def emit(draft: Draft, name: str) -> Plan:
    """Lay out the draft's tensors, plan the arena and return the plan."""
    roots = placements(draft.steps)
    memory = plan_memory(draft.steps, roots, _ELEMENT_BYTES)
    numbers: dict[DraftTensor, int] = {}
    for tensor in (*draft.inputs, *draft.outputs):
        numbers.setdefault(tensor, len(numbers))
    for step in draft.steps:
        for operand in (*step.inputs, step.output):
            if operand is not None:
                numbers.setdefault(operand, len(numbers))
    steps = tuple(
        Step(
            step.op,
            step.name,
            tuple(-1 if tensor is None else numbers[tensor] for tensor in step.inputs),
            (numbers[step.output],),
            step.attributes,
        )
        for step in draft.steps
    )
    return Plan(
        name=name,
        tensors=tuple(_tensor(tensor, roots, memory) for tensor in numbers),
        steps=steps,
        inputs=tuple(numbers[tensor] for tensor in draft.inputs),
        outputs=tuple(numbers[tensor] for tensor in draft.outputs),
        arena_bytes=memory.arena_bytes,
    )


def nhwc_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a dense channels-last array of logical shape (N, C, H, W)."""
    _, channels, height, width = shape
    return (height * width * channels, 1, width * channels, channels)


def _tensor(tensor: DraftTensor, roots: Mapping[DraftTensor, Placement], memory: MemoryPlan) -> Tensor:
    if tensor.root.storage is not Storage.ARENA:
        return _outside_arena(tensor)
    placement = place(tensor, roots)
    base = memory.offset(tensor.root)
    return Tensor(
        name=tensor.name,
        dtype=DType.F32,
        shape=tensor.shape,
        layout=tensor.layout,
        storage=Storage.ARENA,
        offset=base + placement.origin * _ELEMENT_BYTES,
        strides=placement.strides,
        border=placement.border,
        extent=(base + placement.first * _ELEMENT_BYTES, base + placement.end * _ELEMENT_BYTES),
    )


def _outside_arena(tensor: DraftTensor) -> Tensor:
    """Caller's arrays and constants are dense; NumPy strides of constant data say how they lie."""
    if tensor.data is not None:
        strides = tuple(stride // tensor.data.itemsize for stride in tensor.data.strides)
    elif tensor.layout is Layout.NHWC:
        strides = nhwc_strides(tensor.shape)
    else:
        strides = row_major_strides(tensor.shape)
    size = int(np.prod(tensor.shape, dtype=np.int64))
    return Tensor(
        name=tensor.name,
        dtype=DType.F32,
        shape=tensor.shape,
        layout=tensor.layout,
        storage=tensor.storage,
        strides=strides,
        border=Border(),
        extent=(0, size * _ELEMENT_BYTES),
        data=tensor.data,
    )
