"""Small models that together use every feature of the format."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

_TESTS = Path(__file__).parent.parent
sys.path += [str(_TESTS / "converters"), str(_TESTS / "format")]

from edge_sparse.converters.lower import lower  # noqa: E402
from graph_builder import GraphBuilder  # noqa: E402
from tiny_decoder import NO_ACTIVATION, POINTWISE, WIDTH, Builder, tiny_decoder  # noqa: E402

from edge_sparse.format.packing import pack_dense  # noqa: E402
from edge_sparse.llm.attention import ExactAttention, with_attention  # noqa: E402
from edge_sparse.plan import (  # noqa: E402
    DType,
    ImagePreprocessing,
    Model,
    Op,
    Plan,
    Step,
    Storage,
    Tokenizer,
)
from edge_sparse.tokenizer import Mark, Normaliser, PreTokenizer  # noqa: E402

__all__ = ["chunks", "delta", "example", "models", "small_image", "small_rows", "small_tokens"]


def example() -> Model:
    """y = W x with W = [[1, 0, 2], [3, 0, 4]] in one strip of two rows: the example of ``docs/format.md``."""
    b = Builder()
    x, y = b.tensor("x", (1, 3), Storage.INPUT), b.tensor("y", (1, 2), Storage.OUTPUT)
    b.matrices.append(pack_dense("W", np.array([[1, 0, 2], [3, 0, 4]], np.float32), 2))
    attributes = {"matrix": 0, **POINTWISE, **NO_ACTIVATION}
    steps = (Step(Op.SPMM, "linear", (x,), (y,), attributes),)
    return Model((Plan("main", tuple(b.tensors), steps, (x,), (y,), 0),), tuple(b.matrices))


def small_rows() -> Model:
    """y = relu(W x + b) for a sparse matrix of 6 x 5 in bands of 4 and 2, whose second band keeps nothing."""
    builder = GraphBuilder(2, 5)
    x = builder.node("linear", ["x", _sparse(builder, 6, 5), builder.constant(6)], (2, 6), activation="relu")
    graph = builder.finish(x)
    return lower(graph, {graph.nodes[0].name: 4})


def _sparse(builder: GraphBuilder, rows: int, columns: int) -> str:
    weights = builder.random.standard_normal((rows, columns))
    weights[:4, 1:3] = 0
    weights[4:] = 0
    return builder.constant(data=weights)


def small_image(layout: str = "chw") -> Model:
    """A depthwise convolution and a mean on an image of 2 channels."""
    builder = GraphBuilder(1, 2, 4, 5)
    x = builder.depthwise(builder.depthwise("x"), activation="clamp", clamp_low=0.0, clamp_high=6.0)
    return lower(builder.finish(builder.mean(x)), {}, layout=layout)


def small_tokens() -> Model:
    """The normalised embedding of the last of up to four tokens."""
    b = Builder()
    ids = b.tensor("ids", (6,), Storage.INPUT, DType.S32, symbolic=True)
    x = b.step(Op.EMBEDDING, "embed", [ids, -1], WIDTH, matrix=b.matrix("0.down", 8, WIDTH))
    x = b.norm("norm", x)
    last = b.tensor("last", (1, WIDTH), Storage.OUTPUT)
    b.steps.append(Step(Op.TAKE_LAST, "last", (x,), (last,), {}))
    plan = Plan("main", tuple(b.tensors), tuple(b.steps), (ids,), (last,), b.arena, "tokens", 6)
    tokenizer = Tokenizer(
        3,
        (b"A", b"B", b"C", b"D", b"AB", b"CD", b"ABCD", b"<e>"),
        merges=((0, 1), (2, 3), (4, 5)),
        eos=7,
        top_k=40,
        pre_tokenizer=PreTokenizer.GPT2,
        normaliser=Normaliser.NFC,
        whole_words=True,
        marks=bytes([0] * 7 + [Mark.MATCHED | Mark.HIDDEN | Mark.END]),
        chat_template="{% for m in messages %}{{ m.content }}<e>{% endfor %}",
    )
    return Model((plan,), tuple(b.matrices), tokenizer=tokenizer)


def network(layout: str, dtype: DType = DType.F32) -> Model:
    """Bands of 8, 4 and 1 rows, empty strips, a layer that keeps nothing, stride 2, a residual, a concatenation."""
    builder = GraphBuilder(1, 3, 7, 6)
    x = builder.conv("x", 13, 3, stride=2, activation="hardswish", prune=(8, 0.4))
    y = builder.conv(x, 13, 1, residual=x, prune=(4, 0.9))
    y = builder.conv(y, 13, 3, activation="relu", prune=(1, 1.0))
    y = builder.concat(builder.depthwise(y, 3), builder.conv(x, 4, (1, 3), dilation=2))
    gate = builder.conv(builder.mean(y, keepdim=True), 17, activation="sigmoid")
    y = builder.same("mul", y, gate)
    y = builder.linear(builder.mean(builder.conv(y, 7)), 5)
    return lower(builder.finish(builder.same("softmax", y)), {}, layout=layout, value_dtype=dtype)


def windows(layout: str) -> Model:
    """Pools, padding, a reshape and images at the boundary, two at a time."""
    builder = GraphBuilder(2, 2, 7, 8)
    x = builder.conv("x", 3, 1)
    pooled = builder.pool("max_pool", x, 3, 2, 1)
    padded = builder.node("pad", [pooled], (2, 3, 6, 7), padding=(1, 2, 1, 1), value=0.5)
    y = builder.pool("avg_pool", padded, 2, 1, 0, count_include_pad=False)
    y = builder.node("adaptive_avg_pool", [y], (2, 3, 3, 2), output_size=(3, 2))
    y = builder.same("add", builder.conv(y, 3, 2, padding=(1, 0, 0, 1)), builder.constant(1, 3, 1, 1))
    flat = builder.node("reshape", [builder.same("activation", y, activation="gelu")], (2, 18))
    graph = builder.finish(padded, flat)
    graph.input_layouts = {"x": layout}
    return lower(graph, {}, layout=layout)


def described() -> Model:
    """Everything that a file says about its model."""
    image = ImagePreprocessing(4, 5, 3, 6, mean=(0.5, 0.25, 0.125), std=(0.25, 0.5, 1.0), bgr=True)
    builder = GraphBuilder(1, 3, 4, 5)
    model = lower(builder.finish(builder.mean(builder.depthwise("x"))), {}, layout="chw")
    tokenizer = Tokenizer(1, (), bos=254, eos=255, add_bos=True)
    labels = ("cat", "chien", "кот")
    return replace(model, labels=labels, image=image, tokenizer=tokenizer, metadata={"name": "näme", "n": [1, 2.5]})


def two_plans() -> Model:
    """Two plans on one input and one matrix: y = W x and y = (W x) * x."""
    b = Builder()
    x = b.tensor("x", (2, 4), Storage.INPUT)
    y, z = b.tensor("y", (2, 4), Storage.OUTPUT), b.tensor("z", (2, 4), Storage.OUTPUT)
    h = b.tensor("h", (2, 4))
    attributes = {"matrix": b.matrix("w", 4, 4), **POINTWISE, **NO_ACTIVATION}
    first = (Step(Op.SPMM, "product", (x,), (y,), attributes),)
    second = (Step(Op.SPMM, "product", (x,), (h,), attributes), Step(Op.MUL, "mul", (h, x), (z,), NO_ACTIVATION))
    tensors = tuple(b.tensors)
    plans = (Plan("first", tensors, first, (x,), (y,), 0), Plan("second", tensors, second, (x,), (z,), b.arena))
    return Model(plans, tuple(b.matrices))


def delta(width: int = 34) -> Model:
    """Attention over keys that are stored as changes: four heads share two, one sink, blocks of two tokens."""
    b = Builder()
    heads, kv_heads, capacity, chunk, sinks = 4, 2, 12, 4, 1
    inputs = [
        b.tensor(name, (chunk, n * width), Storage.INPUT, symbolic=True)
        for name, n in (("q", heads), ("k", kv_heads), ("v", kv_heads))
    ]
    position = b.tensor("position", (2,), Storage.INPUT, DType.S32)
    deltas = b.tensor("deltas", (kv_heads, capacity * width), Storage.STATE, DType.F16)
    values = b.tensor("v_cache", (capacity, kv_heads * width), Storage.STATE)
    exact = b.tensor("exact_keys", (1 + sinks + 8, kv_heads * width), Storage.STATE)
    marks = b.tensor("marks", (kv_heads, capacity + 2, 1 + -(-width // 32)), Storage.STATE, DType.S32)
    y = b.tensor("y", (chunk, heads * width), Storage.OUTPUT, symbolic=True)
    attributes = {"heads": heads, "kv_heads": kv_heads, "head_dim": width, "scale": 0.25, "theta": 0.5, "sinks": sinks}
    operands = (*inputs, deltas, values, position, exact, marks)
    steps = (Step(Op.DELTA_ATTENTION, "attention", operands, (y,), attributes),)
    plan = Plan("main", tuple(b.tensors), steps, (*inputs, position), (y,), 0, "tokens", chunk)
    return Model((plan,), state_bytes=b.state)


def models() -> dict[str, Model]:
    """Return all models by name."""
    result = {
        "example": example(),
        "rows": small_rows(),
        "tokens": small_tokens(),
        "decoder": tiny_decoder(),
        "decoder_f16_cache": with_attention(tiny_decoder(), ExactAttention(DType.F16)),
        "decoder_s8_cache": with_attention(tiny_decoder(), ExactAttention(DType.S8)),
        "described": described(),
        "two_plans": two_plans(),
        "delta": delta(),
    }
    for layout in ("chw", "nhwc"):
        result |= {
            f"image_{layout}": small_image(layout),
            f"network_{layout}": network(layout),
            f"windows_{layout}": windows(layout),
        }
    for dtype in (DType.F16, DType.S8, DType.S4, DType.TERNARY):
        result[f"network_{dtype.name.lower()}"] = network("chw", dtype)
    return result


def chunks(model: Model, plan: Plan, seed: int = 5) -> list[dict[str, np.ndarray]]:
    """Return inputs for one run after the other; tokens come in chunks that fill the cache."""
    random = np.random.default_rng(seed)
    runs, position = [], 0
    for tokens in (3, 1, plan.symbol_max, 1) if plan.symbol else (0,):
        arrays = {}
        for number in plan.inputs:
            tensor = plan.tensors[number]
            shape = (tokens, *tensor.shape[1:]) if tensor.symbol_axis == 0 else tensor.shape
            if len(shape) == 4 and tensor.layout.name == "NHWC":
                shape = (shape[0], *shape[2:], shape[1])
            if tensor.dtype is DType.S32:
                arrays[tensor.name] = random.integers(0, 8, shape, np.int32)
            else:
                arrays[tensor.name] = random.standard_normal(shape).astype(np.float32)
        if "position" in arrays:
            # The second number is the window of DELTA_ATTENTION.
            arrays["position"][:] = (position, 2)[: arrays["position"].size]
        position += tokens
        runs.append(arrays)
    return runs
