"""Tensor records: every rule that a tensor obeys by itself, and its value if it is a constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_sparse.errors import FileFormatError
from edge_sparse.format.container import Container
from edge_sparse.format.footprint import footprint, frame_of
from edge_sparse.format.spec import ARENA_LIMIT, NONE, Section
from edge_sparse.plan import Border, DType, Layout, Storage, Tensor, row_major_strides

__all__ = ["read_tensors"]

_AGAIN = "convert the model again"
_RANK = 6
_ZERO_POINTS = {DType.S8: (-128, 127), DType.U8: (0, 255), DType.S32: (0, 0)}


def read_tensors(container: Container, state_bytes: int) -> tuple[Tensor, ...]:
    """Return all tensors; constants are read-only views of the file.

    Raises
    ------
    FileFormatError
        ``TENSOR_*``, ``BLOB_NUMBER``, ``STRING_*``.
    """
    records = container.records(Section.TENSORS)
    columns = [records[name].tolist() for name in records.dtype.names or ()]
    return tuple(_tensor(container, number, row, state_bytes) for number, row in enumerate(zip(*columns, strict=True)))


def _fail(code: str, name: str, problem: str) -> FileFormatError:
    return FileFormatError(code, f"tensor {name}: {problem}", _AGAIN)


def _tensor(container: Container, number: int, row: Sequence[Any], state_bytes: int) -> Tensor:
    name, dtype, layout, storage, rank, symbol_axis, offset, shape, strides, border, extent, scale, zero, blob, _ = row
    name = container.strings.get(name)
    label = f"{number} ({name})"
    if dtype not in DType.__members__.values() or dtype in (DType.S4, DType.TERNARY):
        raise _fail("TENSOR_DTYPE", label, f"element type {dtype} is unknown here")
    if layout not in Layout.__members__.values() or (layout != Layout.ROW_MAJOR and rank != 4):
        raise _fail("TENSOR_LAYOUT", label, f"layout {layout} of a tensor of {rank} axes")
    if storage not in Storage.__members__.values():
        raise _fail("TENSOR_STORAGE", label, f"storage {storage} is unknown")
    if rank > _RANK:
        raise _fail("TENSOR_RANK", label, f"{rank} axes are more than {_RANK}")
    if any(shape[rank:]) or any(strides[rank:]):
        raise _fail("TENSOR_SHAPE", label, "axes beyond the rank are not zero")
    tensor = Tensor(
        name,
        DType(dtype),
        tuple(shape[:rank]),
        Layout(layout),
        Storage(storage),
        offset,
        tuple(strides[:rank]),
        Border(*border),
        (extent[0], extent[1]),
        None,
        scale,
        zero,
        symbol_axis,
    )
    _check_numbers(tensor, label)
    if tensor.storage in (Storage.ARENA, Storage.STATE):
        _check_placed(tensor, label, state_bytes)
        if blob != NONE:
            raise _fail("TENSOR_BLOB", label, "only constants have a blob")
        return tensor
    return _dense(container, tensor, label, blob)


def _check_numbers(tensor: Tensor, label: str) -> None:
    size = math.prod(tensor.shape) * tensor.dtype.numpy.itemsize
    if min(tensor.shape, default=1) < 1 or size > ARENA_LIMIT:
        raise _fail("TENSOR_SHAPE", label, f"shape {tensor.shape} is empty or exceeds {ARENA_LIMIT} bytes")
    if not math.isfinite(tensor.scale) or tensor.scale <= 0:
        raise _fail("TENSOR_SCALE", label, f"scale {tensor.scale} is not a positive number")
    low, high = _ZERO_POINTS.get(tensor.dtype, (0, 0))
    if not low <= tensor.zero_point <= high:
        raise _fail("TENSOR_ZERO_POINT", label, f"zero point {tensor.zero_point} of type {tensor.dtype.name}")
    movable = tensor.layout is Layout.ROW_MAJOR and tensor.storage is not Storage.CONSTANT
    if tensor.symbol_axis not in ((-1, 0) if movable and tensor.shape else (-1,)):
        raise _fail("TENSOR_SYMBOL_AXIS", label, f"axis {tensor.symbol_axis} cannot have the symbol's length")
    if tensor.border and (tensor.layout is Layout.ROW_MAJOR or tensor.storage is not Storage.ARENA):
        raise _fail("TENSOR_BORDER", label, "only images in the arena have a border")


def _check_placed(tensor: Tensor, label: str, state_bytes: int) -> None:
    """Check a tensor in the arena or the state: alignment, strides, extent."""
    if tensor.storage is Storage.STATE and tensor.layout is not Layout.ROW_MAJOR:
        raise _fail("TENSOR_LAYOUT", label, "state tensors are row-major")
    if tensor.offset % tensor.dtype.numpy.itemsize:
        raise _fail("TENSOR_OFFSET", label, f"offset {tensor.offset} is not a multiple of the element size")
    problem = _rows(tensor) if tensor.layout is Layout.ROW_MAJOR else _image(tensor)
    if problem:
        raise _fail("TENSOR_STRIDES", label, problem)
    first, end = tensor.extent
    limit = state_bytes if tensor.storage is Storage.STATE else ARENA_LIMIT
    touched = footprint(tensor)
    if not (0 <= first <= touched.first and touched.end <= end <= limit):
        message = f"it touches bytes {touched.first} to {touched.end}, its extent is {first} to {end} of {limit}"
        raise _fail("TENSOR_EXTENT", label, message)


def _rows(tensor: Tensor) -> str:
    """Return what is wrong with the strides of a row-major tensor: outer axes must step over inner ones."""
    inner = 1
    for length, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if not 0 < stride <= ARENA_LIMIT or (length > 1 and stride < inner):
            return f"strides {tensor.strides} of shape {tensor.shape} let elements overlap"
        inner = length * stride if length > 1 else inner
    return ""


def _image(tensor: Tensor) -> str:
    """Return what is wrong with the strides of an image: rows, pixels and planes must not overlap."""
    batch, channels, _, width = tensor.shape
    image, plane, line, pixel = tensor.strides
    if not all(0 < stride <= ARENA_LIMIT for stride in tensor.strides) or max(_sides(tensor.border)) > ARENA_LIMIT:
        return f"strides {tensor.strides} are zero or too large"
    nhwc = tensor.layout is Layout.NHWC
    if (plane if nhwc else pixel) != 1 or (nhwc and pixel < channels) or line % pixel:
        return f"strides {tensor.strides} do not fit the layout"
    frame = frame_of(tensor)
    if frame.row < width + max(tensor.border.left, tensor.border.right):
        return f"rows are {frame.row} pixels apart, too few for {width} and the border"
    if not nhwc and channels > 1 and plane < frame.before + frame.owned:
        return f"planes are {plane} elements apart, too few for {frame.before + frame.owned}"
    planes = channels * plane if channels > 1 else frame.before + frame.owned
    inside = (frame.before + frame.pixels + frame.after) * pixel if nhwc else planes
    if batch > 1 and image < inside:
        return f"images are {image} elements apart, too few for {inside}"
    return ""


def _sides(border: Border) -> tuple[int, int, int, int]:
    return border.top, border.left, border.bottom, border.right


def _dense(container: Container, tensor: Tensor, label: str, blob: int) -> Tensor:
    """Check a constant, input or output, which has no gaps, and attach a constant's value."""
    size = math.prod(tensor.shape) * tensor.dtype.numpy.itemsize
    if tensor.offset:
        raise _fail("TENSOR_OFFSET", label, "constants, inputs and outputs begin at byte 0")
    if tensor.extent != (0, size):
        raise _fail("TENSOR_EXTENT", label, f"extent {tensor.extent} is not the {size} bytes of its elements")
    if tensor.storage is not Storage.CONSTANT:
        if tensor.strides != _boundary_strides(tensor):
            raise _fail("TENSOR_STRIDES", label, f"strides {tensor.strides} leave gaps or change the order")
        if blob != NONE:
            raise _fail("TENSOR_BLOB", label, "only constants have a blob")
        return tensor
    if tensor.layout is not Layout.ROW_MAJOR:
        raise _fail("TENSOR_LAYOUT", label, "constants are row-major")
    if not _permuted(tensor):
        raise _fail("TENSOR_STRIDES", label, f"strides {tensor.strides} leave gaps or let elements overlap")
    data = container.blobs.get(blob, f"tensor {label}")
    if data.size != size:
        raise _fail("TENSOR_BLOB", label, f"its blob has {data.size} bytes instead of {size}")
    elements = data.view(tensor.dtype.numpy)
    strides = [elements.itemsize * stride for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(elements, tensor.shape, strides, writeable=False)
    return Tensor(**{**tensor.__dict__, "data": view})


def _boundary_strides(tensor: Tensor) -> tuple[int, ...]:
    if tensor.layout is not Layout.NHWC:
        return row_major_strides(tensor.shape)
    _, channels, height, width = tensor.shape
    return (height * width * channels, 1, width * channels, channels)


def _permuted(tensor: Tensor) -> bool:
    """Whether the axes, in some order, lie one inside the other without gaps; axes of length 1 may say anything."""
    axes = sorted((s, n) for s, n in zip(tensor.strides, tensor.shape, strict=True) if n > 1)
    step = 1
    for stride, length in axes:
        if stride != step:
            return False
        step *= length
    return all(0 < stride <= ARENA_LIMIT for stride in tensor.strides)
