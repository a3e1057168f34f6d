"""From a depthwise convolution in a plan to a launch of its kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.dwconv_chw import DepthwiseArgument, DwconvChw, choose_depthwise_tile
from edge_sparse.backends.numba.dwconv_nhwc import DwconvNhwc, choose_nhwc_tile
from edge_sparse.backends.numba.launch import Address, Launch, address_of, advance
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.plan import VECTOR_SLACK, Layout, Tensor

__all__ = ["dwconv_launch"]

#: NHWC work units that an image is cut into at least, so that threads share it.
NHWC_UNITS = 8


def dwconv_launch(
    compiler: KernelCompiler,
    x: Tensor,
    y: Tensor,
    weights: Address | npt.NDArray[Any],
    bias: npt.NDArray[np.float32] | None,
    attributes: Mapping[str, int | float],
    epilogue: Epilogue,
) -> Launch:
    """Return the launch; ``weights`` lie as (C, kh, kw) for CHW and (kh, kw, C) for NHWC."""
    a = {name: int(value) for name, value in attributes.items() if isinstance(value, int)}
    kernel, stride = (a["kernel_h"], a["kernel_w"]), (a["stride_h"], a["stride_w"])
    dilation = (a["dilation_h"], a["dilation_w"])
    epilogue = replace(epilogue, bias=bias is not None)
    batch, channels, height, width = y.shape
    emitter: DwconvChw | DwconvNhwc
    if y.layout is Layout.CHW:
        owned = -(-((height - 1) * y.strides[2] + width) // VECTOR_SLACK) * VECTOR_SLACK
        rows, lanes = choose_depthwise_tile(compiler.target, height, width, y.strides[2], owned)
        emitter = DwconvChw(kernel, stride, dilation, height, width, rows, lanes, epilogue)
    else:
        lanes = min(compiler.target.lanes, 1 << (channels.bit_length() - 1))
        rows, pixels = choose_nhwc_tile(compiler.target, kernel[0] * kernel[1], height, width)
        segments = min(-(-NHWC_UNITS // -(-channels // lanes)), -(-height // rows))
        segment = -(-height // segments)
        rows = min(rows, height - (-(-height // segment) - 1) * segment)
        emitter = DwconvNhwc(
            kernel,
            stride,
            dilation,
            channels,
            height,
            width,
            x.strides[3],
            y.strides[3],
            rows,
            pixels,
            segment,
            lanes,
            epilogue,
        )
    first = -a["pad_top"] * x.strides[2] - a["pad_left"] * x.strides[3]
    arguments = {
        DepthwiseArgument.X: advance(address_of(x), first),
        DepthwiseArgument.Y: address_of(y),
        DepthwiseArgument.WEIGHTS: weights,
        DepthwiseArgument.BIAS: 0 if bias is None else bias,
        DepthwiseArgument.CHANNELS: channels,
        DepthwiseArgument.X_IMAGE_STRIDE: x.strides[0],
        DepthwiseArgument.X_PLANE_STRIDE: x.strides[1],
        DepthwiseArgument.X_ROW_STRIDE: x.strides[2],
        DepthwiseArgument.Y_IMAGE_STRIDE: y.strides[0],
        DepthwiseArgument.Y_PLANE_STRIDE: y.strides[1],
        DepthwiseArgument.Y_ROW_STRIDE: y.strides[2],
    }
    name = compiler.emit(emitter.name, emitter.emit)
    units = batch * (channels if isinstance(emitter, DwconvChw) else emitter.units)
    return Launch(name, [arguments[argument] for argument in DepthwiseArgument], units)
