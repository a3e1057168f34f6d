"""Kernels without a register tile, in Python for Numba: copies, pools, softmax, borders.

Each takes ``(args, begin, end)``: the argument table and a range of work units. ``floats`` and ``integers`` turn an
address into a pointer; the compiler puts Numba intrinsics in their place. Every kernel is one function, without calls,
because it is compiled by itself;
``max`` and ``min`` are calls to Numba, which could raise.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = [
    "adaptive_avg_pool_f32",
    "copy_f32",
    "copy_indexed_f32",
    "pad_f32",
    "phase_split_f32",
    "pool_f32_chw",
    "pool_f32_nhwc",
    "softmax_f32",
    "zero_border_f32",
]


def floats(address: int) -> Any:
    """Pointer to float32 at an address (compiled code only)."""
    raise NotImplementedError


def integers(address: int) -> Any:
    """Pointer to int64 at an address (compiled code only)."""
    raise NotImplementedError


def zero_border_f32(args: Any, begin: int, end: int) -> None:
    """Units are planes (CHW) or images (NHWC). y, planes per image, image, plane and pixel stride, elements, ranges."""
    y, ranges = floats(args[0]), integers(args[6])
    for unit in range(begin, end):
        base = unit // args[1] * args[2] + unit % args[1] * args[3]
        for r in range(args[7]):
            for p in range(ranges[2 * r], ranges[2 * r + 1]):
                for e in range(args[5]):
                    y[base + p * args[4] + e] = 0.0


def copy_f32(args: Any, begin: int, end: int) -> None:
    """Units are pairs of the two outer axes. x, y, lengths of axes 1 to 3, four strides of x, four of y."""
    x, y = floats(args[0]), floats(args[1])
    n1, n2, n3 = args[2], args[3], args[4]
    x2, x3, y2, y3 = args[7], args[8], args[11], args[12]
    for unit in range(begin, end):
        i, j = unit // n1, unit % n1
        a = i * args[5] + j * args[6]
        b = i * args[9] + j * args[10]
        for p in range(n2):
            if x3 == 1 and y3 == 1:
                for q in range(n3):
                    y[b + p * y2 + q] = x[a + p * x2 + q]
            else:
                for q in range(n3):
                    y[b + p * y2 + q * y3] = x[a + p * x2 + q * x3]


def copy_indexed_f32(args: Any, begin: int, end: int) -> None:
    """Units are elements. x, y, offsets in x, offsets in y."""
    x, y, a, b = floats(args[0]), floats(args[1]), integers(args[2]), integers(args[3])
    for unit in range(begin, end):
        y[b[unit]] = x[a[unit]]


def phase_split_f32(args: Any, begin: int, end: int) -> None:
    """Units are planes of y. x, y, C, H, W, strides, OH, OW, four strides of x, four of y."""
    x, y = floats(args[0]), floats(args[1])
    channels, height, width, sh, sw, oh, ow = args[2], args[3], args[4], args[5], args[6], args[7], args[8]
    planes = channels * sh * sw
    xw, yw = args[12], args[16]
    for unit in range(begin, end):
        n, plane = unit // planes, unit % planes
        phase, c = plane // channels, plane % channels
        ry, rx = phase // sw, phase % sw
        inside = (width - rx + sw - 1) // sw
        for i in range(oh):
            row = n * args[13] + plane * args[14] + i * args[15]
            line = n * args[9] + c * args[10] + (i * sh + ry) * args[11] + rx * xw
            real = inside if i * sh + ry < height else 0
            for j in range(real):
                y[row + j * yw] = x[line + j * sw * xw]
            for j in range(real, ow):
                y[row + j * yw] = 0.0


def pool_f32_chw(args: Any, begin: int, end: int) -> None:
    """Units are planes. x, y, C, H, W, OH, OW, kernel, stride, dilation, padding (t, l, b, r), average, include.

    Then the strides of image, plane and row of x and of y.

    A window's row is one pass over the output row, so that the inner loop runs in vectors.
    """
    x, y = floats(args[0]), floats(args[1])
    channels, height, width, oh, ow = args[2], args[3], args[4], args[5], args[6]
    kh, kw, sh, sw, dh, dw = args[7], args[8], args[9], args[10], args[11], args[12]
    top, left, bottom, right, average, include = args[13], args[14], args[15], args[16], args[17], args[18]
    for unit in range(begin, end):
        n, c = unit // channels, unit % channels
        for i in range(oh):
            row = n * args[22] + c * args[23] + i * args[24]
            for j in range(ow):
                y[row + j] = 0.0 if average else -math.inf
            rows = 0
            for a in range(kh):
                at = i * sh - top + a * dh
                if include and 0 <= at + top < height + top + bottom:
                    rows += 1
                if at < 0 or at >= height:
                    continue
                if not include:
                    rows += 1
                line = n * args[19] + c * args[20] + at * args[21]
                for b in range(kw):
                    shift = b * dw - left
                    first = -(shift // sw) if shift < 0 else 0
                    last = (width - 1 - shift) // sw + 1
                    last = last if last < ow else ow
                    source = line + shift
                    if average:
                        for j in range(first, last):
                            y[row + j] += x[source + j * sw]
                    elif sw == 2:
                        for j in range(first, last):
                            y[row + j] = y[row + j] if y[row + j] > x[source + 2 * j] else x[source + 2 * j]
                    elif sw == 1:
                        for j in range(first, last):
                            y[row + j] = y[row + j] if y[row + j] > x[source + j] else x[source + j]
                    else:
                        for j in range(first, last):
                            y[row + j] = y[row + j] if y[row + j] > x[source + j * sw] else x[source + j * sw]
            if average:
                for j in range(ow):
                    columns = 0
                    for b in range(kw):
                        at = j * sw - left + b * dw
                        if 0 <= at < width or (include and 0 <= at + left < width + left + right):
                            columns += 1
                    y[row + j] = y[row + j] / (rows * columns)


def pool_f32_nhwc(args: Any, begin: int, end: int) -> None:
    """Units are rows of y. The arguments of ``pool_f32_chw``, then the pixel strides of x and y."""
    x, y = floats(args[0]), floats(args[1])
    channels, height, width, oh, ow = args[2], args[3], args[4], args[5], args[6]
    kh, kw, sh, sw, dh, dw = args[7], args[8], args[9], args[10], args[11], args[12]
    top, left, bottom, right, average, include = args[13], args[14], args[15], args[16], args[17], args[18]
    for unit in range(begin, end):
        n, i = unit // oh, unit % oh
        for j in range(ow):
            pixel = n * args[22] + i * args[24] + j * args[26]
            for c in range(channels):
                y[pixel + c] = 0.0 if average else -math.inf
            count = 0
            for a in range(kh):
                for b in range(kw):
                    v, h = i * sh - top + a * dh, j * sw - left + b * dw
                    inside = 0 <= v < height and 0 <= h < width
                    if inside or (include and v < height + bottom and h < width + right):
                        count += 1
                    if not inside:
                        continue
                    source = n * args[19] + v * args[21] + h * args[25]
                    if average:
                        for c in range(channels):
                            y[pixel + c] += x[source + c]
                    else:
                        for c in range(channels):
                            y[pixel + c] = y[pixel + c] if y[pixel + c] > x[source + c] else x[source + c]
            if average:
                for c in range(channels):
                    y[pixel + c] = y[pixel + c] / count


def adaptive_avg_pool_f32(args: Any, begin: int, end: int) -> None:
    """Units are (image, channel). x, y, C, H, W, OH, OW, four strides of x, four of y."""
    x, y = floats(args[0]), floats(args[1])
    channels, height, width, oh, ow = args[2], args[3], args[4], args[5], args[6]
    for unit in range(begin, end):
        n, c = unit // channels, unit % channels
        for i in range(oh):
            for j in range(ow):
                top, bottom = i * height // oh, ((i + 1) * height + oh - 1) // oh
                left, right = j * width // ow, ((j + 1) * width + ow - 1) // ow
                total = 0.0
                for v in range(top, bottom):
                    for h in range(left, right):
                        total += x[n * args[7] + c * args[8] + v * args[9] + h * args[10]]
                place = n * args[11] + c * args[12] + i * args[13] + j * args[14]
                y[place] = total / ((bottom - top) * (right - left))


def softmax_f32(args: Any, begin: int, end: int) -> None:
    """Units are rows. x, y, length, row stride of x, of y."""
    x, y = floats(args[0]), floats(args[1])
    for row in range(begin, end):
        a, b = row * args[3], row * args[4]
        largest = x[a]
        for i in range(1, args[2]):
            largest = x[a + i] if x[a + i] > largest else largest
        total = 0.0
        for i in range(args[2]):
            power = math.exp(x[a + i] - largest)
            y[b + i] = power
            total += power
        for i in range(args[2]):
            y[b + i] = y[b + i] / total


def pad_f32(args: Any, begin: int, end: int) -> None:
    """Units are (image, channel). x, y, value, C, H, W, OH, OW, top, left, four strides of x, four of y."""
    x, y, value = floats(args[0]), floats(args[1]), floats(args[2])[0]
    channels, height, width, oh, ow, top, left = args[3], args[4], args[5], args[6], args[7], args[8], args[9]
    for unit in range(begin, end):
        n, c = unit // channels, unit % channels
        a, b = n * args[10] + c * args[11], n * args[14] + c * args[15]
        for i in range(oh):
            for j in range(ow):
                inside = top <= i < top + height and left <= j < left + width
                place = b + i * args[16] + j * args[17]
                y[place] = x[a + (i - top) * args[12] + (j - left) * args[13]] if inside else value
