"""Step and plan records: signatures, ports, and the flow of values through memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from edge_sparse.errors import FileFormatError
from edge_sparse.format.container import Container
from edge_sparse.format.decoder_rules import DECODER_RULES
from edge_sparse.format.delta_rules import delta_attention
from edge_sparse.format.footprint import footprint
from edge_sparse.format.image_rules import IMAGE_RULES
from edge_sparse.format.ops import OPS
from edge_sparse.format.product_rules import depthwise, product
from edge_sparse.format.spec import ALIGNMENT, ARENA_LIMIT, Section
from edge_sparse.format.step_view import StepView
from edge_sparse.format.written import Written
from edge_sparse.plan import Op, Plan, SparseMatrix, Step, Storage, Tensor

__all__ = ["check_plans", "read_plans"]

_AGAIN = "convert the model again"
#: Kernels count tokens in signed 32 bits.
_SYMBOL_LIMIT = (1 << 31) - 1
_RULES: Mapping[Op, Callable[[StepView], None]] = {
    Op.SPMM: product,
    Op.DWCONV: depthwise,
    **IMAGE_RULES,
    **DECODER_RULES,
    Op.DELTA_ATTENTION: delta_attention,
}
#: Operations that may write over an input that lies exactly where the output does.
_IN_PLACE = (Op.ADD, Op.MUL, Op.ACTIVATION)
#: Inputs that a step changes, by op code.
_CHANGED = {Op.ATTENTION: (3, 4, 6, 7), Op.DELTA_ATTENTION: (3, 4, 6, 7)}


def read_plans(
    container: Container, tensors: tuple[Tensor, ...], matrices: tuple[SparseMatrix, ...]
) -> tuple[Plan, ...]:
    """Return all plans, completely checked: no step can touch memory that is not its own.

    Raises
    ------
    FileFormatError
        ``STEP_*``, ``PLAN_*``, ``STRING_*``.
    """
    steps = _steps(container, len(tensors))
    ports = container.records(Section.PORTS).tolist()
    plans: list[Plan] = []
    first_step = first_port = 0
    for number, row in enumerate(container.records(Section.PLANS).tolist()):
        name, symbol = container.strings.get(row[0]), container.strings.get(row[8])
        label = f"plan {number} ({name})"
        _, step_at, step_count, port_at, input_count, output_count, symbol_max, arena_bytes, _, _ = row
        if step_at != first_step or not 0 < step_count <= len(steps) - first_step:
            raise _fail("PLAN_STEPS", label, f"{step_count} steps from {step_at} are not the next of {len(steps)}")
        total = input_count + output_count
        if port_at != first_port or not output_count or total > len(ports) - first_port:
            raise _fail("PLAN_PORTS", label, f"{total} ports from {port_at} are not the next of {len(ports)}")
        inputs = tuple(ports[first_port : first_port + input_count])
        outputs = tuple(ports[first_port + input_count : first_port + total])
        own = tuple(steps[first_step : first_step + step_count])
        first_step, first_port = first_step + step_count, first_port + total
        if arena_bytes > ARENA_LIMIT or arena_bytes % ALIGNMENT:
            raise _fail("PLAN_ARENA", label, f"an arena of {arena_bytes} bytes")
        if bool(symbol) != bool(symbol_max) or symbol_max > _SYMBOL_LIMIT:
            raise _fail("PLAN_SYMBOL", label, f"symbol {symbol!r} with a maximum of {symbol_max}")
        plan = Plan(name, tensors, own, inputs, outputs, arena_bytes, symbol, symbol_max)
        plans.append(plan)
    if first_step != len(steps):
        raise FileFormatError("PLAN_STEPS", f"{len(steps) - first_step} steps belong to no plan", _AGAIN)
    if first_port != len(ports):
        raise FileFormatError("PLAN_PORTS", f"{len(ports) - first_port} ports belong to no plan", _AGAIN)
    if len({plan.name for plan in plans}) != len(plans):
        raise FileFormatError("PLAN_NAME", "two plans have one name", _AGAIN)
    check_plans(plans, matrices)
    return tuple(plans)


def check_plans(plans: Sequence[Plan], matrices: Sequence[SparseMatrix]) -> None:
    """Check that no step of some plans can touch memory that is not its own; their tensors are right by themselves.

    Raises
    ------
    FileFormatError
        ``STEP_*``, ``PLAN_*``.
    """
    for number, plan in enumerate(plans):
        _check_plan(plan, f"plan {number} ({plan.name})", matrices)


def _fail(code: str, label: str, problem: str) -> FileFormatError:
    return FileFormatError(code, f"{label}: {problem}", _AGAIN)


def _steps(container: Container, tensor_count: int) -> list[Step]:
    records = container.records(Section.STEPS)
    names = ("op", "input_count", "output_count", "name", "inputs", "outputs", "words")
    columns = [records[name].tolist() for name in names]
    return [_step(container, number, row, tensor_count) for number, row in enumerate(zip(*columns, strict=True))]


def _step(container: Container, number: int, row: Sequence[Any], tensor_count: int) -> Step:
    code, input_count, output_count, place, inputs, outputs, words = row
    name = container.strings.get(place)
    label = f"step {number} ({name})"
    if code not in OPS:
        raise FileFormatError("STEP_OP", f"{label}: op code {code} is unknown", "update edge_sparse")
    op = Op(code)
    signature = OPS[op]
    if not signature.required_inputs <= input_count <= len(signature.inputs):
        raise _fail("STEP_INPUT_COUNT", label, f"{input_count} inputs for {op.name}")
    if output_count != len(signature.outputs):
        raise _fail("STEP_OUTPUT_COUNT", label, f"{output_count} outputs for {op.name}")
    if min(inputs[: signature.required_inputs]) < 0:
        raise _fail("STEP_INPUT_COUNT", label, f"a required input of {op.name} is absent")
    unused = [*inputs[input_count:], *outputs[output_count:]]
    used = [*inputs[:input_count], *outputs[:output_count]]
    if any(n != -1 for n in unused) or min(used) < -1 or max(used) >= tensor_count or min(outputs[:output_count]) < 0:
        raise _fail("STEP_TENSOR", label, f"tensors {inputs} -> {outputs} of {tensor_count}")
    if any(words[len(signature.attributes) :]):
        raise _fail("STEP_WORDS", label, f"words after the {len(signature.attributes)} of {op.name} are not zero")
    attributes = {key: _number(kind, word) for (key, kind), word in zip(signature.attributes, words, strict=False)}
    return Step(op, name, tuple(inputs[:input_count]), tuple(outputs[:output_count]), attributes)


def _number(kind: str, word: int) -> int | float:
    value: int | float = struct.unpack("<f" if kind == "f" else "<i", struct.pack("<I", word))[0]
    return value


def _check_plan(plan: Plan, label: str, matrices: Sequence[SparseMatrix]) -> None:
    _check_ports(plan, label)
    ports = {Storage.INPUT: frozenset(plan.inputs), Storage.OUTPUT: frozenset(plan.outputs)}
    written = Written()
    finished: set[int] = set()
    for step in plan.steps:
        view = StepView(step, plan.tensors, matrices, plan.arena_bytes)
        _check_operands(plan, view, ports)
        _RULES[step.op](view)
        for number in step.inputs:
            if number >= 0 and plan.tensors[number].storage is Storage.ARENA:
                code = written.problem(plan.tensors[number])
                state = "was not written" if code == "STEP_UNWRITTEN" else "was overwritten"
                view.need(not code, code, f"{plan.tensors[number].name} {state} by earlier steps")
        _check_apart(view)
        finished.add(step.outputs[0])
        if view.y.storage is Storage.ARENA:
            written.add(view.y)
    for number in plan.outputs:
        if number not in finished:
            raise _fail("PLAN_OUTPUT", label, f"no step writes output {plan.tensors[number].name}")


def _check_ports(plan: Plan, label: str) -> None:
    for numbers, storage in ((plan.inputs, Storage.INPUT), (plan.outputs, Storage.OUTPUT)):
        if any(number >= len(plan.tensors) or plan.tensors[number].storage is not storage for number in numbers):
            raise _fail("PLAN_PORTS", label, f"{numbers} are not all tensors of storage {storage.name}")
    names = [plan.tensors[number].name for number in (*plan.inputs, *plan.outputs)]
    if "" in names or len(set(names)) != len(names):
        raise _fail("PLAN_PORTS", label, f"inputs and outputs {names} are not all named differently")
    for number in (*plan.inputs, *plan.outputs):
        _check_length(plan, plan.tensors[number], label)


def _check_length(plan: Plan, tensor: Tensor, label: str) -> None:
    if tensor.symbol_axis >= 0 and (not plan.symbol or tensor.shape[tensor.symbol_axis] != plan.symbol_max):
        message = f"{tensor.name} of shape {tensor.shape} does not follow the symbol, at most {plan.symbol_max}"
        raise _fail("PLAN_SYMBOL", label, message)


def _check_operands(plan: Plan, view: StepView, ports: Mapping[Storage, Set[int]]) -> None:
    """Check that every tensor of a step belongs to this plan and that the output may be written."""
    for number in (*view.step.inputs, *view.step.outputs):
        if number < 0:
            continue
        tensor = plan.tensors[number]
        _check_length(plan, tensor, f"step {view.step.name}")
        inside = tensor.storage is not Storage.ARENA or tensor.extent[1] <= plan.arena_bytes
        view.need(inside, "PLAN_ARENA", f"{tensor.name} ends at byte {tensor.extent[1]} of {plan.arena_bytes}")
        known = tensor.storage not in ports or number in ports[tensor.storage]
        view.need(known, "STEP_STORAGE", f"{tensor.name} is no input or output of this plan")
    for number in view.step.inputs:
        readable = number < 0 or plan.tensors[number].storage is not Storage.OUTPUT
        view.need(readable, "STEP_STORAGE", "an output of the plan is read")
    view.need_storage(view.y, "y", (Storage.ARENA, Storage.OUTPUT, Storage.STATE))


def _check_apart(view: StepView) -> None:
    """Check that what a step writes shares no memory with what it reads, except exactly in place."""
    inputs = [view.input(index) for index in range(len(view.step.inputs))]
    changed = [(index, view.input(index)) for index in _CHANGED.get(view.step.op, ())]
    targets = [(-1, view.y), *((index, tensor) for index, tensor in changed if tensor is not None)]
    for own, target in targets:
        if target.storage not in (Storage.ARENA, Storage.STATE):
            continue
        for index, other in enumerate(inputs):
            if other is None or index == own or other.storage is not target.storage:
                continue
            if view.step.op in _IN_PLACE and _place(other) == _place(target):
                continue
            apart = footprint(target).apart(footprint(other))
            view.need(apart, "STEP_OVERLAP", f"{target.name} and {other.name} share memory")


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.offset, tensor.shape, tensor.strides, tensor.border, tensor.layout
