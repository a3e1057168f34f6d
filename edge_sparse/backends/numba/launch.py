"""``Launch``: one call of a kernel, with addresses that become numbers when a session has memory."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import BackendError
from edge_sparse.plan import Storage, Tensor

__all__ = ["TOKENS", "Address", "Launch", "RunValue", "address_of", "advance", "bind", "row_stride"]


@dataclass(frozen=True)
class Address:
    """A byte inside the arena, the state, or the caller's array of the named input or output."""

    storage: Storage
    offset: int
    name: str = ""


class RunValue(enum.Enum):
    """An argument that every run sets anew."""

    TOKENS = enum.auto()


#: The length, in a run, of the axes that follow the plan's symbol.
TOKENS = RunValue.TOKENS


@dataclass(frozen=True)
class Launch:
    """A kernel, its argument table and the number of work units.

    An argument is a number, an address, or an array whose data the kernel reads (kept alive by the launch), or
    ``TOKENS``. ``independent`` launches need not wait for the one before them.

    In plans with a symbol, ``unit_tokens`` > 0 makes it ``units`` for every ``unit_tokens`` tokens begun, and a launch
    is skipped in runs whose number of tokens is not among ``tokens``, first and last.
    """

    kernel: str
    arguments: Sequence[int | Address | RunValue | npt.NDArray[Any]]
    units: int
    independent: bool = False
    unit_tokens: int = 0
    tokens: tuple[int, int] = (1, 1 << 31)

    def units_in(self, tokens: int) -> int:
        """Return the work units of a run of so many tokens."""
        if not self.tokens[0] <= tokens <= self.tokens[1]:
            return 0
        return self.units * -(-tokens // self.unit_tokens) if self.unit_tokens else self.units


def address_of(tensor: Tensor) -> Address | npt.NDArray[Any]:
    """Return where element zero of a tensor lies."""
    if tensor.storage is Storage.CONSTANT:
        assert tensor.data is not None
        # Constants may be stored with axes in another order; the blob's order is what kernels read.
        order = sorted(range(tensor.data.ndim), key=lambda axis: -tensor.strides[axis])
        return np.ascontiguousarray(tensor.data.transpose(order), dtype=np.float32).reshape(-1)
    name = tensor.name if tensor.storage in (Storage.INPUT, Storage.OUTPUT) else ""
    return Address(tensor.storage, tensor.offset, name)


def bind(launch: Launch, resolve: Callable[[Address], int]) -> npt.NDArray[np.int64]:
    """Return the argument table as the kernel reads it."""
    values = []
    for argument in launch.arguments:
        if isinstance(argument, Address):
            values.append(resolve(argument))
        elif isinstance(argument, np.ndarray):
            values.append(argument.ctypes.data)
        elif isinstance(argument, RunValue):
            values.append(0)
        else:
            values.append(int(argument))
    return np.array(values, np.int64)


def advance(address: Address | npt.NDArray[Any], elements: int) -> Address | npt.NDArray[Any]:
    """Return the address this many float32 elements further on."""
    if isinstance(address, Address):
        return replace(address, offset=address.offset + 4 * elements)
    return address[elements:]


def row_stride(tensor: Tensor) -> int:
    """Return the distance of the rows of a row-major tensor; all leading axes must lie one behind the other."""
    if len(tensor.shape) < 2:
        return tensor.size
    for axis in range(len(tensor.shape) - 2):
        if tensor.shape[axis] > 1 and tensor.strides[axis] != tensor.shape[axis + 1] * tensor.strides[axis + 1]:
            raise BackendError("PLAN_UNSUPPORTED", f"rows of {tensor.name} lie at uneven distances", "convert it again")
    return tensor.strides[-2]
