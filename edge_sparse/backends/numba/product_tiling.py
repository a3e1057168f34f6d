"""Which kernel a band of a product takes, and how its pixels or tokens are cut into register tiles and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_sparse.backends.numba import spmm_chw, spmm_nhwc
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import row_stride
from edge_sparse.backends.numba.spmm_chw import SpmmChw
from edge_sparse.backends.numba.spmm_kernel import Epilogue, SpmmKernel
from edge_sparse.backends.numba.spmm_nhwc import SpmmNhwc
from edge_sparse.backends.numba.tiles import Run, Tiles, cut
from edge_sparse.errors import BackendError
from edge_sparse.plan import Band, Layout, Tensor

__all__ = ["tile_product"]

Attributes = Mapping[str, int | float]

#: What starting a tile of NHWC pixels costs, in pixels.
TILE_OVERHEAD = 1
#: NHWC pixels of one block: a quarter of a usual 512 KiB second-level cache.
BLOCK_BYTES = 128 << 10
#: The same where the weights exceed the cache and should pass once: half of 1 MiB.
STREAMED_BLOCK_BYTES = 512 << 10


def tile_product(
    compiler: KernelCompiler,
    band: Band,
    epilogue: Epilogue,
    x: Tensor,
    y: Tensor,
    residual: Tensor | None,
    attributes: Attributes,
    most_tokens: int,
) -> tuple[SpmmKernel, Tiles, int]:
    """Return the kernel of a band, its tiles, and how many tiles form a block.

    With ``most_tokens`` all tiles have one size, so that the first n of them are the first n * size tokens.
    """
    target = compiler.target
    if y.layout is Layout.CHW:
        rows, limit = spmm_chw.choose_tile(target, band.group)
        tiles = cut(_chw_runs(x, y, residual, attributes, target.lanes), limit, target.lanes, 1, (1, 1), y)
        return SpmmChw(band.group, tiles.size, tiles.mixed, epilogue, rows), tiles, 1
    lanes, vectors, limit = spmm_nhwc.choose_tile(target, band.group)
    if most_tokens:
        limit = max(size for size in range(1, limit + 1) if most_tokens % size == 0)
    if y.layout is Layout.ROW_MAJOR:
        pixel, runs = row_stride(x), [Run(0, 0, y.size // y.shape[-1] if y.shape else 1, 0, 0)]
        steps = (row_stride(y), 0 if residual is None else row_stride(residual))
    else:
        pixel = x.strides[3] * int(attributes["stride_w"])
        runs = _nhwc_runs(x, y, residual, attributes, limit)
        steps = (y.strides[3], 0 if residual is None else residual.strides[3])
    tiles = cut(runs, limit, 1, pixel, steps, y)
    kernel = SpmmNhwc(band.group, tiles.size, tiles.mixed, epilogue, lanes, vectors, pixel)
    block = STREAMED_BLOCK_BYTES if attributes["strips_outermost"] else BLOCK_BYTES
    if most_tokens:
        return kernel, tiles, 1
    return kernel, tiles, max(1, block // (4 * pixel * tiles.size))


def _flat_pixels(tensor: Tensor) -> int:
    """Pixels from the first to the last real one, gaps between rows included."""
    return (tensor.shape[2] - 1) * (tensor.strides[2] // tensor.strides[3]) + tensor.shape[3]


def _flat(tensors: Sequence[Tensor], attributes: Attributes) -> bool:
    """Whether one flat pixel index addresses all tensors."""
    rows = {tensor.strides[2] // tensor.strides[3] for tensor in tensors}
    strided = (attributes["stride_h"], attributes["stride_w"]) != (1, 1) and not attributes["phase_split"]
    return not strided and (len(rows) == 1 or tensors[1].shape[2] == 1)


def _chw_runs(x: Tensor, y: Tensor, residual: Tensor | None, attributes: Attributes, lanes: int) -> list[Run]:
    tensors = [x, y] if residual is None else [x, y, residual]
    if not _flat(tensors, attributes):
        raise BackendError("PLAN_UNSUPPORTED", f"{x.name} and {y.name} have different row strides", "convert it again")
    length = -(-_flat_pixels(y) // lanes)
    other = 0 if residual is None else residual.strides[0]
    return [Run(n, 0, length, n * x.strides[0], n * y.strides[0], n * other) for n in range(y.shape[0])]


def _nhwc_runs(x: Tensor, y: Tensor, residual: Tensor | None, attributes: Attributes, limit: int) -> list[Run]:
    """Return one run per image or one per row, whichever takes fewer pixels and tiles of at most ``limit``.

    Flat runs compute the gaps between rows too: 6 % of a 14x14 image whose consumer needs a border.
    """
    tensors = [x, y] if residual is None else [x, y, residual]
    strides = (0,) * 4 if residual is None else residual.strides
    batch, _, height, width = y.shape
    length = _flat_pixels(y)
    by_row = height * (width + TILE_OVERHEAD * -(-width // limit))
    if _flat(tensors, attributes) and length + TILE_OVERHEAD * -(-length // limit) <= by_row:
        return [Run(n, 0, length, n * x.strides[0], n * y.strides[0], n * strides[0]) for n in range(batch)]
    step, row = int(attributes["stride_h"]), y.strides[2] // y.strides[3]
    step = 1 if attributes["phase_split"] else step
    return [
        Run(
            n,
            i * row,
            width,
            n * x.strides[0] + i * step * x.strides[2],
            n * y.strides[0] + i * y.strides[2],
            n * strides[0] + i * strides[2],
        )
        for n in range(batch)
        for i in range(height)
    ]
