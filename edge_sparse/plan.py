"""The in-memory form of a model file: plans, steps, tensors and group-sparse matrices.

These are plain frozen values. The reader makes them from bytes, the converter makes them from a graph, and every
backend runs them. Nothing here knows about files, kernels or torch.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_sparse.tokenizer import Tokenizer

__all__ = [
    "Activation",
    "Band",
    "Border",
    "DType",
    "ImagePreprocessing",
    "Layout",
    "Model",
    "Op",
    "Plan",
    "SparseMatrix",
    "Step",
    "Storage",
    "Tensor",
    "Tokenizer",
]

#: Arena planes leave room for this many elements past the last pixel, so that a vector of pixels may overrun.
VECTOR_SLACK = 16
#: Caches of ATTENTION have a multiple of so many rows, which kernels keep together.
CACHE_BLOCK = 16


class DType(enum.IntEnum):
    """Element type of a tensor or of matrix values."""

    F32 = 1
    F16 = 2
    S8 = 3
    U8 = 4
    S32 = 5
    S4 = 6
    TERNARY = 7

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """NumPy dtype of the stored elements (``S4`` and ``TERNARY`` are packed in ``uint8``)."""
        return np.dtype({1: "<f4", 2: "<f2", 3: "i1", 4: "u1", 5: "<i4", 6: "u1", 7: "u1"}[int(self)])


class Layout(enum.IntEnum):
    """How a tensor lies in memory. The strides say it exactly; the layout chooses the kernel family."""

    ROW_MAJOR = 0
    CHW = 1
    NHWC = 2


class Storage(enum.IntEnum):
    """Which memory a tensor's offset counts in."""

    ARENA = 0
    CONSTANT = 1
    INPUT = 2
    OUTPUT = 3
    STATE = 4


class Activation(enum.IntEnum):
    """Element-wise function; ``CLAMP`` uses the step's ``clamp_low`` and ``clamp_high``."""

    NONE = 0
    RELU = 1
    CLAMP = 2
    HARDSWISH = 3
    HARDSIGMOID = 4
    SIGMOID = 5
    SILU = 6
    TANH = 7
    GELU = 8


class Op(enum.IntEnum):
    """Operation codes. A step names one of these, never a kernel."""

    SPMM = 1
    DWCONV = 2
    ADD = 3
    MUL = 4
    ACTIVATION = 5
    MAX_POOL = 6
    AVG_POOL = 7
    ADAPTIVE_AVG_POOL = 8
    MEAN = 9
    SOFTMAX = 10
    COPY = 11
    PHASE_SPLIT = 12
    PAD = 13
    EMBEDDING = 32
    RMS_NORM = 33
    ROPE = 34
    ATTENTION = 35
    TAKE_LAST = 36
    DELTA_ATTENTION = 37


@dataclass(frozen=True)
class Border:
    """Zero rows and columns around each plane of an image tensor, kept zero by whoever writes the tensor."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return bool(self.top or self.left or self.bottom or self.right)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a plan.

    Parameters
    ----------
    name : str
        Unique inside its plan for inputs and outputs; free otherwise.
    dtype : DType
        Element type.
    shape : tuple of int
        Logical shape. Image tensors are always ``(N, C, H, W)``, whatever the layout.
    layout, storage : Layout, Storage
        See there.
    offset : int
        Byte offset of element zero (border excluded) inside its storage; 0 for ``INPUT``, ``OUTPUT`` and ``CONSTANT``.
    strides : tuple of int
        Stride of every logical axis, in elements.
    border : Border
        Zero frame that the producer guarantees. In CHW and NHWC, row ``y + 1`` starts ``strides[2]`` elements after
        row ``y``; the gap between two rows (``strides[2] / strides[3] - W`` pixels, at least
        ``max(left, right)``) serves as right border of one row and left border of the next.
    extent : tuple of int
        First and one-past-last byte, relative to the storage, of the memory that the tensor owns (border, gaps and
        vector slack included).
    data : ndarray, optional
        Value of a ``CONSTANT``.
    scale, zero_point : float, int
        Affine quantisation, ``real = scale * (stored - zero_point)``; 1 and 0 for float tensors.
    symbol_axis : int
        Axis whose length is the plan's symbol (the token count), or -1. ``shape`` then holds its maximum.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    layout: Layout = Layout.ROW_MAJOR
    storage: Storage = Storage.ARENA
    offset: int = 0
    strides: tuple[int, ...] = ()
    border: Border = Border()
    extent: tuple[int, int] = (0, 0)
    data: npt.NDArray[np.generic] | None = None
    scale: float = 1.0
    zero_point: int = 0
    symbol_axis: int = -1

    @property
    def size(self) -> int:
        """Number of logical elements."""
        return int(np.prod(self.shape, dtype=np.int64))


def row_major_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of a contiguous array of this shape."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


@dataclass(frozen=True)
class Band:
    """Consecutive rows of a matrix that are cut into strips of ``group`` rows each."""

    first_row: int
    rows: int
    group: int

    @property
    def strips(self) -> int:
        """Number of strips; ``rows`` is a multiple of ``group``."""
        return self.rows // self.group


@dataclass(frozen=True)
class SparseMatrix:
    """A group-sparse matrix of ``rows`` x ``columns``.

    Strips are numbered through all bands in row order. Strip ``s`` keeps ``counts[s]`` columns. A column is an index
    into flattened (kernel row, kernel column, input channel).

    Parameters
    ----------
    bands : tuple of Band
        Cover all rows, in order, without gaps.
    counts : ndarray of uint32, shape (strips,)
        Kept columns per strip.
    kept : ndarray, optional
        Which columns: a bitmap, uint8 of shape (strips, ceil(columns / 8)), least significant bit first; or, where few
        are kept, their list, uint32 of shape (kept,), strip after strip and increasing. None: every column.
    dtype : DType
        ``F32`` or ``F16``: ``values`` is flat, strip after strip, each kept column's ``group`` values together.
        ``S8``, ``S4``, ``TERNARY``: packed tiles as ``docs/format.md`` lays them out, in ``uint8`` or ``int8``.
    values : ndarray
        See ``dtype``.
    segment : int
        Kept columns of a strip that share a scale; 0 for all of them. Integer values only.
    scales : ndarray of float16, optional
        Flat ``[strip][segment][row of the strip]``.
    """

    name: str
    rows: int
    columns: int
    bands: tuple[Band, ...]
    counts: npt.NDArray[np.uint32]
    kept: npt.NDArray[np.uint8] | npt.NDArray[np.uint32] | None
    dtype: DType
    values: npt.NDArray[np.generic]
    segment: int = 0
    scales: npt.NDArray[np.float16] | None = None

    @property
    def indices(self) -> npt.NDArray[np.uint32]:
        """All kept columns, strip after strip; computed, and large for large dense matrices."""
        if self.kept is None:
            return np.tile(np.arange(self.columns, dtype=np.uint32), self.counts.size)
        if self.kept.ndim == 1:
            return self.kept.astype(np.uint32, copy=False)
        bits = np.unpackbits(self.kept.astype(np.uint8, copy=False), axis=1, count=self.columns, bitorder="little")
        return np.nonzero(bits)[1].astype(np.uint32)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Position of every strip's first kept column in ``indices``; one entry more than strips."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    @property
    def strip_groups(self) -> npt.NDArray[np.int64]:
        """Group size of every strip."""
        if not self.bands:
            return np.zeros(0, np.int64)
        return np.concatenate([np.full(band.strips, band.group, np.int64) for band in self.bands])

    @property
    def kept_weights(self) -> int:
        """Stored weights (kept columns times group size, summed over strips)."""
        return int((self.counts.astype(np.int64) * self.strip_groups).sum())

    @property
    def density(self) -> float:
        """Kept share of all weights, 0 to 1."""
        return self.kept_weights / max(1, self.rows * self.columns)


@dataclass(frozen=True)
class Step:
    """One operation: op code, tensor numbers (``-1`` for an absent optional input) and attributes.

    ``attributes`` holds exactly the names that ``edge_sparse.format.spec.OPS[op]`` lists.
    """

    op: Op
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A named sequence of steps with its tensors and the size of its arena.

    ``tensors`` is the model's one table (the same tuple in every plan), so state tensors are shared between plans.
    """

    name: str
    tensors: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arena_bytes: int
    symbol: str = ""
    symbol_max: int = 0


@dataclass(frozen=True)
class ImagePreprocessing:
    """How an image becomes the first input: resize, centre crop, scale, normalise.

    ``real = (pixel / 255 - mean) / std`` per channel; ``resize`` is the shorter side before the centre crop to
    ``height`` x ``width`` (0: stretch to the crop size). ``channels`` 1 is grey, 3 is ``RGB`` or, with ``bgr``, BGR.
    """

    height: int
    width: int
    channels: int = 3
    resize: int = 0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    bgr: bool = False


@dataclass(frozen=True)
class Model:
    """All that a file holds."""

    plans: tuple[Plan, ...]
    matrices: tuple[SparseMatrix, ...] = ()
    state_bytes: int = 0
    labels: tuple[str, ...] = ()
    image: ImagePreprocessing | None = None
    tokenizer: Tokenizer | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensor table shared by all plans."""
        return self.plans[0].tensors if self.plans else ()

    def plan(self, name: str = "") -> Plan:
        """Return the plan of this name, or the first one."""
        for candidate in self.plans:
            if not name or candidate.name == name:
                return candidate
        raise KeyError(name)
