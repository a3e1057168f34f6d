"""Rules of SPMM and DWCONV, whose kernels read and write whole vectors across the edges of rows and planes."""

from __future__ import annotations

from edge_sparse.format.footprint import frame_of
from edge_sparse.format.integer_packing import TILE_GRANULE
from edge_sparse.format.spec import READ_MARGIN
from edge_sparse.format.step_view import StepView
from edge_sparse.plan import VECTOR_SLACK, Layout, Storage, Tensor

__all__ = ["depthwise", "product"]


def product(view: StepView) -> None:
    """SPMM."""
    view.need_window()
    view.need_activation()
    phase_split = bool(view.need_word("phase_split", 0, 1))
    view.need_word("strips_outermost", 0, 1)
    quantised = bool(view.need_word("quantise_x", 0, 1))
    view.need(0 <= view.word("matrix") < len(view.matrices), "STEP_MATRIX", f"matrix {view.word('matrix')}")
    matrix = view.matrices[view.word("matrix")]
    x, y, bias, residual = view.needed(0), view.y, view.input(1), view.input(2)
    fits = not quantised or (matrix.dtype in TILE_GRANULE and y.layout is Layout.ROW_MAJOR)
    view.need(fits, "STEP_ATTRIBUTE", "quantise_x is for rows and matrices of integers")
    if bias is not None:
        view.need_vector(bias, "bias", matrix.rows)
    for tensor, name in ((x, "x"), (y, "y"), (residual, "residual")):
        if tensor is not None:
            view.need_float(tensor, name)
    view.need_layout(x, "x", (Layout.CHW, Layout.NHWC) if y.layout is Layout.NHWC else (y.layout,))
    if residual is not None:
        view.need_layout(residual, "residual", (y.layout,))
        view.need_shape(residual, "residual", y.shape)
    if y.layout is Layout.ROW_MAJOR:
        _rows(view, x, y, residual, (matrix.rows, matrix.columns))
        return
    taps = view.word("kernel_h") * view.word("kernel_w")
    phases = view.word("stride_h") * view.word("stride_w") if phase_split else 1
    view.need(not phase_split or y.layout is Layout.CHW, "STEP_LAYOUT", "phases are read in CHW only")
    fits = x.shape[1] % phases == 0 and taps * (x.shape[1] // phases) == matrix.columns
    view.need(fits, "STEP_SHAPE", f"{matrix.columns} columns do not fit {x.shape[1]} channels and {taps} taps")
    view.need(y.shape[:2] == (x.shape[0], matrix.rows), "STEP_SHAPE", f"y has shape {y.shape}")
    _in_arena(view, (x, y, residual))
    top, left = _need_border(view, x, phase_split)
    if y.layout is Layout.CHW:
        _flat(view, x, y, residual, phase_split, (top, left))


def _rows(view: StepView, x: Tensor, y: Tensor, residual: Tensor | None, size: tuple[int, int]) -> None:
    """Check a product of row-major tensors: a linear layer."""
    for axis in "hw":
        for name in ("kernel", "stride", "dilation"):
            view.need_word(f"{name}_{axis}", 1, 1)
    for name in ("pad_top", "pad_left", "phase_split"):
        view.need_word(name, 0, 0)
    for tensor, name in ((x, "x"), (y, "y"), (residual, "residual")):
        if tensor is not None:
            view.need_even_rows(tensor, name)
            view.need_same_symbol(tensor, name)
    view.need(x.storage is not Storage.CONSTANT, "STEP_STORAGE", "x is a constant")
    view.need(y.symbol_axis < 0 or len(y.shape) == 2, "STEP_SYMBOL", "x has several rows for each number of the symbol")
    rows, columns = size
    view.need(x.shape[-1] == columns, "STEP_SHAPE", f"x has rows of {x.shape[-1]}, the matrix has {columns} columns")
    view.need_shape(y, "y", (*x.shape[:-1], rows))


def _in_arena(view: StepView, tensors: tuple[Tensor | None, ...]) -> None:
    for tensor in tensors:
        if tensor is not None:
            view.need_storage(tensor, tensor.name, (Storage.ARENA,))


def _need_border(view: StepView, x: Tensor, phase_split: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Check that all taps of real pixels fall on the image or its border; return the offsets of taps per axis."""
    border = x.border
    rows = _offsets(view, "h", "pad_top", phase_split)
    columns = _offsets(view, "w", "pad_left", phase_split)
    for axis, offsets, length, outputs, before, after in (
        ("h", rows, x.shape[2], view.y.shape[2], border.top, border.bottom),
        ("w", columns, x.shape[3], view.y.shape[3], border.left, border.right),
    ):
        stride = 1 if phase_split else view.word(f"stride_{axis}")
        last = (outputs - 1) * stride + offsets[1]
        inside = -offsets[0] <= before and last <= length - 1 + after
        message = f"it reads {axis} {offsets[0]} to {last} of {length} with a border of {before} and {after}"
        view.need(inside, "STEP_WINDOW", message)
    return rows, columns


def _offsets(view: StepView, axis: str, pad: str, phase_split: bool) -> tuple[int, int]:
    first = -view.word(pad)
    last = first + (view.word(f"kernel_{axis}") - 1) * view.word(f"dilation_{axis}")
    if phase_split:
        stride = view.word(f"stride_{axis}")
        return first // stride, last // stride
    return first, last


def _flat(
    view: StepView,
    x: Tensor,
    y: Tensor,
    residual: Tensor | None,
    phase_split: bool,
    offsets: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    """Check that one flat pixel index addresses all tensors, and that whole vectors of it stay readable."""
    strides = (view.word("stride_h"), view.word("stride_w"))
    view.need(phase_split or strides == (1, 1), "STEP_ROW_STRIDE", "a strided product in CHW reads phases")
    for tensor in (x, residual):
        if tensor is not None and y.shape[2] > 1:
            even = tensor.strides[2] == y.strides[2]
            view.need(even, "STEP_ROW_STRIDE", f"rows of {tensor.name} and {y.name} lie at different distances")
    vectors = -(-frame_of(y).pixels // VECTOR_SLACK) * VECTOR_SLACK
    rows, columns = offsets
    first = rows[0] * x.strides[2] + columns[0]
    last = rows[1] * x.strides[2] + columns[1] + vectors - 1
    _readable(view, x, first, last)


def _readable(view: StepView, x: Tensor, first: int, last: int) -> None:
    """Check pixels ``first`` to ``last`` of every plane against the arena and the margin around it."""
    size = x.dtype.numpy.itemsize
    planes = (x.shape[0] - 1) * x.strides[0] + (x.shape[1] - 1) * x.strides[1]
    low, high = x.offset + first * size, x.offset + (planes + last + 1) * size
    inside = low >= -READ_MARGIN and high <= view.arena_bytes + READ_MARGIN
    view.need(inside, "STEP_READ", f"vectors read bytes {low} to {high} of an arena of {view.arena_bytes}")


def depthwise(view: StepView) -> None:
    """DWCONV."""
    view.need_window()
    view.need_activation()
    x, y, weight, bias = view.needed(0), view.y, view.needed(1), view.input(2)
    for tensor, name in ((x, "x"), (y, "y")):
        view.need_float(tensor, name)
        view.need_layout(tensor, name, (Layout.CHW, Layout.NHWC))
    view.need_layout(x, "x", (y.layout,))
    channels, taps = x.shape[1], view.word("kernel_h") * view.word("kernel_w")
    view.need(y.shape[:2] == x.shape[:2], "STEP_SHAPE", f"x has shape {x.shape}, y {y.shape}")
    view.need_storage(weight, "weight", (Storage.CONSTANT,))
    view.need_float(weight, "weight")
    view.need_shape(weight, "weight", (channels, view.word("kernel_h"), view.word("kernel_w")))
    width = view.word("kernel_w")
    wanted = (taps, width, 1) if y.layout is Layout.CHW else (1, width * channels, channels)
    even = all(s == w for s, w, n in zip(weight.strides, wanted, weight.shape, strict=True) if n > 1)
    view.need(even, "STEP_STRIDES", f"weight has strides {weight.strides}, not {wanted}")
    if bias is not None:
        view.need_vector(bias, "bias", channels)
    _in_arena(view, (x, y))
    rows, columns = _need_border(view, x, False)
    if y.layout is Layout.CHW:
        # A row shorter than a vector is computed as a whole vector.
        pixels = max(y.shape[3], VECTOR_SLACK)
        last_row = (y.shape[2] - 1) * view.word("stride_h") + rows[1]
        last = last_row * x.strides[2] + (pixels - 1) * view.word("stride_w") + columns[1]
        _readable(view, x, rows[0] * x.strides[2] + columns[0], last)
