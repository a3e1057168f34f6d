"""Plans of a few steps, made by hand for tests of kernels."""

from __future__ import annotations

import numpy as np

from edge_sparse import Session
from edge_sparse.format.packing import pack_dense
from edge_sparse.plan import DType, Model, Op, Plan, Step, Storage, Tensor, row_major_strides

__all__ = ["TinyPlan"]


class TinyPlan:
    """Collects tensors and steps of a plan whose symbol is at most ``chunk`` (0: no symbol)."""

    def __init__(self, chunk: int) -> None:
        self.chunk = chunk
        self.tensors: list[Tensor] = []
        self.steps: list[Step] = []
        self.matrices: list = []
        self.bytes = {Storage.ARENA: 0, Storage.STATE: 0}

    def tensor(self, name, shape, storage, dtype=DType.F32, symbolic=None, row=0, data=None) -> int:
        strides = row_major_strides(shape)
        if row:
            strides = (row, 1)
        reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
        size, offset = reach * dtype.numpy.itemsize, self.bytes.get(storage, 0)
        if storage in self.bytes:
            self.bytes[storage] += -(-size // 64) * 64
        if symbolic is None:
            symbolic = bool(self.chunk) and storage not in (Storage.CONSTANT, Storage.STATE)
        self.tensors.append(
            Tensor(
                name,
                dtype,
                tuple(shape),
                storage=storage,
                offset=offset,
                strides=strides,
                extent=(offset, offset + size),
                data=data,
                symbol_axis=0 if symbolic else -1,
            )
        )
        return len(self.tensors) - 1

    def input(self, name, shape, dtype=DType.F32, symbolic=None) -> int:
        return self.tensor(name, shape, Storage.INPUT, dtype, symbolic)

    def output(self, name, shape, symbolic=None) -> int:
        return self.tensor(name, shape, Storage.OUTPUT, symbolic=symbolic)

    def arena(self, shape, row=0) -> int:
        return self.tensor("", shape, Storage.ARENA, row=row)

    def state(self, name, shape, dtype=DType.F32) -> int:
        return self.tensor(name, shape, Storage.STATE, dtype)

    def constant(self, data) -> int:
        dtype = DType.F16 if data.dtype == np.float16 else DType.F32
        return self.tensor("", data.shape, Storage.CONSTANT, dtype, data=data.astype(dtype.numpy))

    def matrix(self, weights, group, dtype, segment=0, sparsity=0.0) -> int:
        dropped = np.random.default_rng(1).random((-(-weights.shape[0] // group), weights.shape[1])) < sparsity
        weights = np.where(np.repeat(dropped, group, axis=0)[: len(weights)], 0, weights).astype(np.float32)
        self.matrices.append(pack_dense("", weights, group, dtype=dtype, segment=segment))
        return len(self.matrices) - 1

    def step(self, op: Op, inputs: list[int], y: int, **words) -> int:
        self.steps.append(Step(op, op.name.lower(), tuple(inputs), (y,), words))
        return y

    def model(self) -> Model:
        ports = [
            tuple(n for n, tensor in enumerate(self.tensors) if tensor.storage is storage)
            for storage in (Storage.INPUT, Storage.OUTPUT)
        ]
        symbol = ("tokens", self.chunk) if self.chunk else ("", 0)
        plan = Plan("main", tuple(self.tensors), tuple(self.steps), *ports, self.bytes[Storage.ARENA], *symbol)
        return Model((plan,), tuple(self.matrices), self.bytes[Storage.STATE])

    def session(self, backend: str, threads: int = 1) -> Session:
        return Session.from_model(self.model(), backend=backend, threads=threads)
