"""Where every tensor of the arena lies: liveness, elementwise steps in place, and tight reuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_sparse.converters.geometry import Placement
from edge_sparse.converters.lowering.draft import DraftStep, DraftTensor

from edge_sparse.plan import Op, Storage

__all__ = ["Allocation", "MemoryPlan", "check_no_overlap", "plan_memory"]

ALIGNMENT = 64

_IN_PLACE = (Op.ADD, Op.MUL, Op.ACTIVATION)


@dataclass(frozen=True)
class Allocation:
    """Bytes ``[offset, offset + size)``, in use from step ``first`` to step ``last``, both included."""

    first: int
    last: int
    size: int
    offset: int = -1

    def lives_with(self, other: Allocation) -> bool:
        """Whether both are needed at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """The allocations, and which of them each root tensor uses."""

    allocations: tuple[Allocation, ...]
    numbers: Mapping[DraftTensor, int]

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""
        return max((allocation.offset + allocation.size for allocation in self.allocations), default=0)

    def offset(self, root: DraftTensor) -> int:
        """Byte offset of a root's memory."""
        return self.allocations[self.numbers[root]].offset


def plan_memory(
    steps: Sequence[DraftStep], roots: Mapping[DraftTensor, Placement], element_bytes: int = 4
) -> MemoryPlan:
    """Give every root a place in the arena.

    Parameters
    ----------
    steps : sequence of DraftStep
        In order of execution.
    roots : mapping of DraftTensor to Placement
        Every arena tensor that owns memory.
    element_bytes : int
        Size of an element.
    """
    lives = _lives(steps)
    holders = _share_in_place(steps, roots, lives)
    numbers: dict[DraftTensor, int] = {}
    wanted: list[Allocation] = []
    for root, placement in roots.items():
        if holders[root] is root:
            numbers[root] = len(wanted)
            first, last = lives[root]
            wanted.append(Allocation(first, last, _round_up(placement.end * element_bytes)))
    for root in roots:
        numbers[root] = numbers[holders[root]]
    return MemoryPlan(_fit(wanted), numbers)


def check_no_overlap(plan: MemoryPlan) -> None:
    """Raise ``ValueError`` if two allocations that live at the same step share a byte."""
    for number, one in enumerate(plan.allocations):
        if one.offset < 0 or one.offset % ALIGNMENT:
            raise ValueError(f"allocation {number} begins at byte {one.offset}")
        for other_number, other in enumerate(plan.allocations[:number]):
            apart = one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
            if one.lives_with(other) and not apart:
                raise ValueError(f"allocations {other_number} and {number} overlap")


def _lives(steps: Sequence[DraftStep]) -> dict[DraftTensor, tuple[int, int]]:
    """First and last step that touches each root."""
    lives: dict[DraftTensor, tuple[int, int]] = {}
    for index, step in enumerate(steps):
        for tensor in (*step.inputs, step.output):
            if tensor is not None and tensor.root.storage is Storage.ARENA:
                first, _ = lives.get(tensor.root, (index, index))
                lives[tensor.root] = (first, index)
    return lives


def _share_in_place(
    steps: Sequence[DraftStep],
    roots: Mapping[DraftTensor, Placement],
    lives: dict[DraftTensor, tuple[int, int]],
) -> dict[DraftTensor, DraftTensor]:
    """Let elementwise steps overwrite an input that dies there; returns the root whose memory each root uses."""
    holders = {root: root for root in roots}
    for index, step in enumerate(steps):
        y = step.output
        if step.op not in _IN_PLACE or y.root is not y or y not in roots or lives[y][0] != index:
            continue
        for x in step.inputs:
            if x is None or x.root is not x or x not in roots or x is y:
                continue
            holder = holders[x]
            dies = lives[holder][1] == index
            if dies and x.shape == y.shape and roots[x] == roots[y]:
                holders[y] = holder
                lives[holder] = (lives[holder][0], lives[y][1])
                break
    return holders


def _fit(wanted: Sequence[Allocation]) -> tuple[Allocation, ...]:
    """Place large allocations first, each into the smallest gap that holds it, at the lowest address."""
    order = sorted(range(len(wanted)), key=lambda number: (-wanted[number].size, wanted[number].first))
    placed: dict[int, Allocation] = {}
    for number in order:
        want = wanted[number]
        rivals = [other for other in placed.values() if other.lives_with(want)]
        placed[number] = Allocation(want.first, want.last, want.size, _best_gap(want.size, rivals))
    return tuple(placed[number] for number in range(len(wanted)))


def _best_gap(size: int, rivals: Sequence[Allocation]) -> int:
    end, best_offset, best_gap = 0, -1, 0
    for rival in sorted(rivals, key=lambda allocation: allocation.offset):
        gap = rival.offset - end
        if gap >= size and (best_offset < 0 or gap < best_gap):
            best_offset, best_gap = end, gap
        end = max(end, rival.offset + rival.size)
    return best_offset if best_offset >= 0 else end


def _round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
