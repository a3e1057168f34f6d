"""The table of op codes: inputs, outputs and attributes of every step, and what it computes.

The order of ``attributes`` is the order of the words in a step record (``docs/format.md``). ``i`` is a signed
32-bit integer, ``f`` an IEEE float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.plan import Op

__all__ = ["OPS", "OpSpec"]


@dataclass(frozen=True)
class OpSpec:
    """Signature of an op code. Inputs past ``required_inputs`` may be absent (-1)."""

    required_inputs: int
    inputs: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...] = ("y",)


_WINDOW = (
    ("kernel_h", "i"),
    ("kernel_w", "i"),
    ("stride_h", "i"),
    ("stride_w", "i"),
    ("dilation_h", "i"),
    ("dilation_w", "i"),
    ("pad_top", "i"),
    ("pad_left", "i"),
)
_ACTIVATION = (("activation", "i"), ("clamp_low", "f"), ("clamp_high", "f"))

OPS: dict[Op, OpSpec] = {
    # y = act(W (*) x + bias + residual). Column (kh, kw, ic) of output pixel (oy, ox) reads
    # x[ic, oy*stride_h + kh*dilation_h - pad_top, ox*stride_w + kw*dilation_w - pad_left]; outside the image is zero
    # (the border of x must hold it). phase_split = 1: x is the output of PHASE_SPLIT with the same strides. Then, with
    # a = kh*dilation_h - pad_top, r = a mod stride_h and q = floor(a / stride_h), the row read is oy + q of phase r.
    # Row-major x is [..., columns], y is [..., rows]: kernel and strides 1, pads 0.
    # strips_outermost: 1 when the outer loop should run over strips (weights exceed the cache), else over pixels.
    # quantise_x: 1 when rows of a row-major x are rounded to s8 before an integer matrix: q = rint(x * (127 / max|x|)),
    # W x = max|x| / 127 * sum over segments of scale * (integer sum of w q).
    Op.SPMM: OpSpec(
        1,
        ("x", "bias", "residual"),
        (("matrix", "i"), *_WINDOW, ("phase_split", "i"), ("strips_outermost", "i"), *_ACTIVATION, ("quantise_x", "i")),
    ),
    # Depthwise: weight is a constant (C, kernel_h, kernel_w); strides (taps, kw, 1) for CHW, (1, kw*C, C) for NHWC.
    Op.DWCONV: OpSpec(2, ("x", "weight", "bias"), (*_WINDOW, *_ACTIVATION)),
    # y = act(a + b) and act(a * b). b has a's shape, or one value per channel ((N or 1, C, 1, 1)), or one element.
    Op.ADD: OpSpec(2, ("a", "b"), _ACTIVATION),
    Op.MUL: OpSpec(2, ("a", "b"), _ACTIVATION),
    Op.ACTIVATION: OpSpec(1, ("x",), _ACTIVATION),
    # Windows are clipped to the image; the output shape says how many windows there are (ceil mode included).
    Op.MAX_POOL: OpSpec(1, ("x",), _WINDOW),
    # Divides by the kernel size with count_include_pad = 1 (parts beyond pad_bottom/pad_right never count), else by
    # the number of pixels inside the image.
    Op.AVG_POOL: OpSpec(1, ("x",), (*_WINDOW, ("pad_bottom", "i"), ("pad_right", "i"), ("count_include_pad", "i"))),
    # Window of output i along an axis of n inputs and m outputs: floor(i*n/m) to ceil((i+1)*n/m).
    Op.ADAPTIVE_AVG_POOL: OpSpec(1, ("x",), ()),
    # Mean over H and W: (N, C, H, W) -> N*C elements, any shape and layout.
    Op.MEAN: OpSpec(1, ("x",), _ACTIVATION),
    # Over the last axis of a row-major tensor.
    Op.SOFTMAX: OpSpec(1, ("x",), ()),
    # Flattened logical order is kept: reshape, layout change, copy from inputs, to outputs, into concatenations.
    Op.COPY: OpSpec(1, ("x",), ()),
    # y[n, (ry*stride_w + rx)*C + c, i, j] = x[n, c, i*stride_h + ry, j*stride_w + rx], zero outside x.
    Op.PHASE_SPLIT: OpSpec(1, ("x",), (("stride_h", "i"), ("stride_w", "i"))),
    # y = x surrounded by value; the rest of y's rows and columns lie below and to the right.
    Op.PAD: OpSpec(1, ("x",), (("pad_top", "i"), ("pad_left", "i"), ("value", "f"))),
    # y[t] = table[ids[t]]; the table is input 1, or (input 1 absent) the rows of matrix ``matrix``.
    Op.EMBEDDING: OpSpec(1, ("ids", "table"), (("matrix", "i"),)),
    # y = x / sqrt(mean(x^2) + epsilon) * weight over the last axis.
    Op.RMS_NORM: OpSpec(2, ("x", "weight"), (("epsilon", "f"),)),
    # Rotary position embedding of [T, heads*head_dim]; position is a scalar input; pairs are (2i, 2i+1) with
    # interleaved = 1, else (i, i + head_dim/2). Angle = (position + t) * inverse_frequencies[i], a constant.
    Op.ROPE: OpSpec(3, ("x", "position", "inverse_frequencies"), (("head_dim", "i"), ("interleaved", "i"))),
    # Causal attention. k and v [T, kv_heads*head_dim] are stored at rows position.. of the state tensors k_cache and
    # v_cache [capacity, kv_heads*head_dim]; query t sees cache rows 0..position+t. Head h reads kv head
    # h // (heads/kv_heads). S8 caches have scales [capacity, kv_heads] and hold integers, see docs/format.md.
    Op.ATTENTION: OpSpec(
        6,
        ("q", "k", "v", "k_cache", "v_cache", "position", "k_scales", "v_scales"),
        (("heads", "i"), ("kv_heads", "i"), ("head_dim", "i"), ("scale", "f")),
    ),
    # y[0] = x[T - 1]: the last of the tokens that this run was given.
    Op.TAKE_LAST: OpSpec(1, ("x",), ()),
    # Causal attention over keys that are stored as changes. Outside the block of ``window`` tokens that holds the query
    # and behind the first ``sinks`` tokens, key j is replaced by r[j] with |k[j] - r[j]| <= theta; position holds the
    # tokens stored and the window. State: ``deltas`` packed changes, ``exact_keys`` r and the keys of sinks and of the
    # window, ``marks`` which elements changed.
    Op.DELTA_ATTENTION: OpSpec(
        8,
        ("q", "k", "v", "deltas", "v_cache", "position", "exact_keys", "marks"),
        (
            ("heads", "i"),
            ("kv_heads", "i"),
            ("head_dim", "i"),
            ("scale", "f"),
            ("theta", "f"),
            ("sinks", "i"),
        ),
    ),
}
