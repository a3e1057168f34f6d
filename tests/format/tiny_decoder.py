"""A decoder of two layers made by hand, and a plain NumPy twin of it."""

from __future__ import annotations

import numpy as np

from edge_sparse.format.packing import dense, pack_dense
from edge_sparse.plan import Activation, DType, Layout, Model, Op, Plan, Step, Storage, Tensor, Tokenizer

VOCABULARY, WIDTH, HEADS, KV_HEADS, HEAD, HIDDEN, CAPACITY, CHUNK, LAYERS = 16, 8, 4, 2, 4, 12, 16, 6, 2
EPSILON = 1e-5
NO_ACTIVATION = {"activation": int(Activation.NONE), "clamp_low": 0.0, "clamp_high": 0.0}
POINTWISE = {
    **dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1),
    **dict.fromkeys(("pad_top", "pad_left", "phase_split", "strips_outermost", "quantise_x"), 0),
}
#: Type, group, sparsity and segment of the matrices; others are dense float32 in groups of 16.
TYPES = {
    "0.q": (DType.S8, 4, 0.5, 8),
    "0.down": (DType.S4, 8, 0.3, 0),
    "1.gate": (DType.TERNARY, 2, 0.4, 4),
    "1.v": (DType.F16, 1, 0.9, 0),
}


class Builder:
    """Collects tensors, matrices and steps; every arena tensor gets memory of its own."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(7)
        self.tensors: list[Tensor] = []
        self.matrices: list = []
        self.steps: list[Step] = []
        self.arena = self.state = 0

    def tensor(self, name: str, shape: tuple[int, ...], storage=Storage.ARENA, dtype=DType.F32, symbolic=False) -> int:
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        size, offset = int(np.prod(shape)) * dtype.numpy.itemsize, 0
        room = -(-size // 64) * 64
        if storage is Storage.ARENA:
            offset, self.arena = self.arena, self.arena + room
        elif storage is Storage.STATE:
            offset, self.state = self.state, self.state + room
        self.tensors.append(
            Tensor(
                name,
                dtype,
                shape,
                Layout.ROW_MAJOR,
                storage,
                offset,
                strides,
                extent=(offset, offset + size),
                symbol_axis=0 if symbolic else -1,
            )
        )
        return len(self.tensors) - 1

    def constant(self, name: str, data: np.ndarray) -> int:
        number = self.tensor(name, data.shape, Storage.CONSTANT)
        self.tensors[number] = Tensor(**{**self.tensors[number].__dict__, "data": data.astype(np.float32)})
        return number

    def step(self, op: Op, name: str, inputs: list[int], width: int, **attributes: float) -> int:
        y = self.tensor(name, (CHUNK, width), symbolic=True)
        self.steps.append(Step(op, name, tuple(inputs), (y,), attributes))
        return y

    def matrix(self, name: str, rows: int, columns: int) -> int:
        dtype, group, sparsity, segment = TYPES.get(name, (DType.F32, 16, 0.0, 0))
        weights = self.random.standard_normal((rows, columns)).astype(np.float32) / columns**0.5
        strips = self.random.random((-(-rows // group), columns)) < sparsity
        weights[np.repeat(strips, group, axis=0)[:rows]] = 0
        self.matrices.append(pack_dense(name, weights, group, dtype=dtype, segment=segment))
        return len(self.matrices) - 1

    def linear(self, name: str, x: int, rows: int, residual: int = -1, **activation: float) -> int:
        matrix = self.matrix(name, rows, self.tensors[x].shape[-1])
        attributes = {"matrix": matrix, **POINTWISE, **NO_ACTIVATION, **activation}
        return self.step(Op.SPMM, name, [x, -1, residual], rows, **attributes)

    def norm(self, name: str, x: int) -> int:
        weight = self.constant(f"{name}.weight", 1 + 0.1 * self.random.standard_normal(WIDTH))
        return self.step(Op.RMS_NORM, name, [x, weight], WIDTH, epsilon=EPSILON)


def tiny_decoder() -> Model:
    """Return the model: GQA, SwiGLU, rotary embedding, tied input and output embedding, s8, s4 and ternary weights."""
    b = Builder()
    ids = b.tensor("ids", (CHUNK,), Storage.INPUT, DType.S32, symbolic=True)
    position = b.tensor("position", (1,), Storage.INPUT, DType.S32)
    frequencies = b.constant("inverse_frequencies", 100.0 ** -(np.arange(HEAD // 2) / (HEAD // 2)))
    table = b.matrix("embedding", VOCABULARY, WIDTH)
    x = b.step(Op.EMBEDDING, "embed", [ids, -1], WIDTH, matrix=table)
    for layer in range(LAYERS):
        h = b.norm(f"{layer}.norm1", x)
        q, k, v = (b.linear(f"{layer}.{n}", h, HEAD * m) for n, m in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)))
        rotation = {"head_dim": HEAD, "interleaved": layer % 2}
        q = b.step(Op.ROPE, f"{layer}.rope_q", [q, position, frequencies], HEAD * HEADS, **rotation)
        k = b.step(Op.ROPE, f"{layer}.rope_k", [k, position, frequencies], HEAD * KV_HEADS, **rotation)
        caches = [b.tensor(f"{layer}.{n}_cache", (CAPACITY, HEAD * KV_HEADS), Storage.STATE) for n in "kv"]
        heads = {"heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD, "scale": HEAD**-0.5}
        inputs = [q, k, v, *caches, position]
        a = b.step(Op.ATTENTION, f"{layer}.attention", inputs, HEAD * HEADS, **heads)
        x = b.linear(f"{layer}.o", a, WIDTH, residual=x)
        h = b.norm(f"{layer}.norm2", x)
        gate = b.linear(f"{layer}.gate", h, HIDDEN, activation=int(Activation.SILU))
        up = b.linear(f"{layer}.up", h, HIDDEN)
        h = b.step(Op.MUL, f"{layer}.mul", [gate, up], HIDDEN, **NO_ACTIVATION)
        x = b.linear(f"{layer}.down", h, WIDTH, residual=x)
    x = b.norm("norm", x)
    last = b.tensor("last", (1, WIDTH))
    b.steps.append(Step(Op.TAKE_LAST, "last", (x,), (last,), {}))
    logits = b.tensor("logits", (1, VOCABULARY), Storage.OUTPUT)
    head = {"matrix": table, **POINTWISE, **NO_ACTIVATION}
    b.steps.append(Step(Op.SPMM, "head", (last, -1, -1), (logits,), head))
    plan = Plan("main", tuple(b.tensors), tuple(b.steps), (ids, position), (logits,), b.arena, "tokens", CHUNK)
    pieces = tuple(bytes([97 + token]) for token in range(VOCABULARY))
    tokenizer = Tokenizer(2, pieces, tuple(-float(token) for token in range(VOCABULARY)), bos=0, eos=1)
    return Model((plan,), tuple(b.matrices), b.state, tokenizer=tokenizer, metadata={"name": "tiny decoder"})


def twin(model: Model, tokens: list[int]) -> np.ndarray:
    """Return the logits after every token, each computed from the whole prefix, shape (tokens, vocabulary)."""
    matrices = {matrix.name: dense(matrix).astype(np.float64) for matrix in model.matrices}
    constants = {t.name: np.asarray(t.data, np.float64) for t in model.tensors if t.storage is Storage.CONSTANT}

    def norm(name, x):
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPSILON) * constants[f"{name}.weight"]

    def rotate(x, layer):
        result = np.empty_like(x)
        for t, row in enumerate(x):
            for first in range(0, len(row), HEAD):
                for i, frequency in enumerate(constants["inverse_frequencies"]):
                    a, b = (first + 2 * i, first + 2 * i + 1) if layer % 2 else (first + i, first + i + HEAD // 2)
                    turn = (row[a] + 1j * row[b]) * np.exp(1j * t * frequency)
                    result[t, a], result[t, b] = turn.real, turn.imag
        return result

    x = matrices["embedding"][tokens]
    for layer in range(LAYERS):
        h = norm(f"{layer}.norm1", x)
        q, k, v = (h @ matrices[f"{layer}.{name}"].T for name in "qkv")
        q, k = rotate(q, layer), rotate(k, layer)
        a = np.zeros_like(q)
        for t in range(len(tokens)):
            for head in range(HEADS):
                mine = slice(head * HEAD, (head + 1) * HEAD)
                first = head // (HEADS // KV_HEADS) * HEAD
                scores = k[: t + 1, first : first + HEAD] @ q[t, mine] / HEAD**0.5
                weights = np.exp(scores) / np.exp(scores).sum()
                a[t, mine] = weights @ v[: t + 1, first : first + HEAD]
        x = x + a @ matrices[f"{layer}.o"].T
        h = norm(f"{layer}.norm2", x)
        gate = h @ matrices[f"{layer}.gate"].T
        h = gate / (1 + np.exp(-gate)) * (h @ matrices[f"{layer}.up"].T)
        x = x + h @ matrices[f"{layer}.down"].T
    return norm("norm", x) @ matrices["embedding"].T
