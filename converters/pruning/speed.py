"""The density below which a sparse layer is faster than the dense one, as measured on a desktop processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["SpeedLimit", "speed_limit"]

#: From an operator (see ``Layer``) and rows per group to the highest density at which sparse is faster.
SpeedLimit = Callable[[str, int], float]

#: Pixels in the vector lanes (convolutions in CHW), against the dense kernel with groups of 8. AMD Zen 5, AVX-512, one
#: thread, layers of 256 x 128 to 1024 x 1024. Groups of one or two rows load the same pixels for fewer sums.
PIXEL_LANES: Mapping[int, float] = {1: 0.45, 2: 0.8, 4: 0.95, 8: 0.95, 16: 0.95, 32: 0.95}
#: Rows in the vector lanes (linear layers, NHWC), against the dense kernel with groups of 16. Narrow groups leave
#: lanes empty.
ROW_LANES: Mapping[int, float] = {1: 0.1, 2: 0.25, 4: 0.45, 8: 0.7, 16: 0.9, 32: 0.95}


def speed_limit(layout: str) -> SpeedLimit:
    """Return the limits for a layout of image tensors: chw, nhwc or auto (which takes chw for narrow groups)."""

    def limit(operator: str, group: int) -> float:
        rows = operator == "linear" or layout == "nhwc"
        return (ROW_LANES if rows else PIXEL_LANES)[group]

    return limit
