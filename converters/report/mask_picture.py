"""A small picture of which weights a layer keeps."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["mask_png", "png_data_uri", "shrink"]

#: Largest picture; beyond it every pixel shows the kept share of an area.
MAX_WIDTH, MAX_HEIGHT = 160, 64
#: One calm blue that is legible on white and on black; the kept share is its opacity.
_COLOUR = (59, 130, 246)


def shrink(kept: npt.NDArray[np.bool_], height: int = MAX_HEIGHT, width: int = MAX_WIDTH) -> npt.NDArray[np.float64]:
    """Return the kept share of each area of a mask (rows, columns), at most (height, width) areas."""
    result = kept.astype(np.float64)
    for axis, most in ((0, height), (1, width)):
        length = result.shape[axis]
        if length > most:
            edges = np.linspace(0, length, most, endpoint=False).astype(np.int64)
            counts = np.diff(edges, append=length)
            sums = np.add.reduceat(result, edges, axis=axis)
            result = sums / (counts[:, None] if axis == 0 else counts)
    return result


def mask_png(kept: npt.NDArray[np.bool_]) -> bytes:
    """Return a PNG of a mask: rows of the matrix downwards, columns to the right, kept weights in colour."""
    share = shrink(kept)
    height, width = share.shape
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3] = _COLOUR
    pixels[..., 3] = np.rint(share * 255)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_data_uri(png: bytes) -> str:
    """Return a picture as an address that a page holds itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
