"""Records and blobs of a model, put together as the parts of a file. The result is not validated here."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import OutputFileError
from edge_sparse.format.column_index import encode_columns
from edge_sparse.format.file_layout import FileParts, lay_out
from edge_sparse.format.ops import OPS
from edge_sparse.format.spec import (
    NONE,
    RECORDS,
    TOKENIZER_FLAGS,
    IndexEncoding,
    Section,
)
from edge_sparse.plan import ImagePreprocessing, Model, Plan, SparseMatrix, Step, Storage, Tensor, Tokenizer

__all__ = ["assemble", "constant_layout", "detached_parts", "file_parts"]

Record = tuple[Any, ...]


def assemble(model: Model) -> bytes:
    """Return the file's bytes; see ``file_parts``."""
    return b"".join(file_parts(model).chunks())


def file_parts(model: Model) -> FileParts:
    """Return the parts of a file: header, directory, sections, blobs.

    Raises
    ------
    OutputFileError
        ``OUTPUT_MODEL``: a value of the model does not fit its field.
    """
    with _formless():
        return lay_out(*_Content(model).sections())


def detached_parts(model: Model) -> tuple[bytes, list[memoryview]]:
    """Return a file up to its first blob, and the blobs: views of the model's arrays, without their checksums.

    Raises
    ------
    OutputFileError
        ``OUTPUT_MODEL``: a value of the model does not fit its field.
    """
    with _formless():
        sections, blobs = _Content(model, by_address=True).sections()
        parts = lay_out(sections, blobs, checksums=False)
    first = len(parts.parts) - len(blobs)
    end = parts.parts[first][0] if blobs else parts.length
    head = b"".join(FileParts(parts.parts[:first], end).chunks())
    return head.ljust(end, b"\0"), blobs


@contextmanager
def _formless() -> Iterator[None]:
    try:
        yield
    except (OverflowError, ValueError, TypeError, KeyError, struct.error) as error:
        raise OutputFileError(
            "OUTPUT_MODEL", f"the model has no form as a file: {error}", "check its values"
        ) from error


def constant_layout(
    data: npt.NDArray[np.generic], strides: Sequence[int]
) -> tuple[npt.NDArray[np.generic], tuple[int, ...]]:
    """Return a constant's elements in the order in which they are stored, and the strides of its axes then.

    The axis with the largest stride comes first; so depthwise weights keep channels fastest where they are so.
    """
    order = sorted(range(data.ndim), key=lambda axis: -strides[axis])
    stored = np.ascontiguousarray(data.transpose(order))
    result, step = [0] * data.ndim, 1
    for axis in reversed(order):
        result[axis] = step
        step *= data.shape[axis]
    return stored, tuple(result)


class _Content:
    """Collects the strings, blobs and records of a model.

    Blobs of equal bytes are one blob; with ``by_address``, which reads no weights, those at one place are.
    """

    def __init__(self, model: Model, by_address: bool = False) -> None:
        self.model = model
        self._by_address = by_address
        self.strings = bytearray()
        self.blobs: list[memoryview] = []
        self._string_places: dict[bytes, tuple[int, int]] = {}
        self._blob_numbers: dict[tuple[int, bytes | int], int] = {}
        self._tensor_records: dict[int, Record] = {}
        self._matrix_records: dict[int, Record] = {}
        self._bands: list[Record] = []

    def sections(self) -> tuple[dict[Section, bytes], list[memoryview]]:
        """Return the bytes of every section that holds anything, and the blobs."""
        model = self.model
        for plan in model.plans:
            if len(plan.tensors) != len(model.tensors) or any(
                a is not b for a, b in zip(plan.tensors, model.tensors, strict=True)
            ):
                raise ValueError("its plans do not share one tensor table")
        self._blobs_in_order_of_use()
        tensors = [self._tensor(number) for number in range(len(model.tensors))]
        matrices = self._matrices()
        steps = [self._step(step) for plan in model.plans for step in plan.steps]
        plans, ports = self._plans()
        records: dict[Section, list[Any]] = {
            Section.MODEL: [(model.state_bytes, b"")],
            Section.TENSORS: tensors,
            Section.BANDS: self._bands,
            Section.MATRICES: matrices,
            Section.STEPS: steps,
            Section.PLANS: plans,
            Section.PORTS: ports,
            Section.LABELS: [self._string(label) for label in model.labels],
            Section.IMAGE: [] if model.image is None else [_image(model.image)],
            Section.TOKENIZER: [] if model.tokenizer is None else [self._tokenizer(model.tokenizer)],
        }
        sections = {section: np.array(rows, RECORDS[section]).tobytes() for section, rows in records.items() if rows}
        if self.strings:
            sections[Section.STRINGS] = bytes(self.strings)
        if model.metadata:
            text = json.dumps(model.metadata, ensure_ascii=False, sort_keys=True, allow_nan=False)
            sections[Section.METADATA] = text.encode()
        return sections, self.blobs

    def _string(self, text: str) -> tuple[int, int]:
        data = text.encode()
        if data not in self._string_places:
            self._string_places[data] = (len(self.strings), len(data)) if data else (0, 0)
            self.strings += data
        return self._string_places[data]

    def _blob(self, data: npt.NDArray[Any] | bytes) -> int:
        """Return the number of a blob; equal ones are stored once, no bytes are no blob."""
        if not len(data):
            return NONE
        view = data.data.cast("B") if isinstance(data, np.ndarray) else memoryview(data)
        place = np.frombuffer(view, np.uint8).ctypes.data if self._by_address else hashlib.sha256(view).digest()
        key = (view.nbytes, place)
        if key not in self._blob_numbers:
            self._blob_numbers[key] = len(self.blobs)
            self.blobs.append(view)
        return self._blob_numbers[key]

    def _blobs_in_order_of_use(self) -> None:
        for plan in self.model.plans:
            for step in plan.steps:
                matrix = int(step.attributes.get("matrix", -1))
                if 0 <= matrix < len(self.model.matrices):
                    self._matrix_blobs(matrix)
                for number in step.inputs:
                    if 0 <= number < len(plan.tensors):
                        self._tensor(number)

    def _tensor(self, number: int) -> Record:
        if number not in self._tensor_records:
            self._tensor_records[number] = self._tensor_record(self.model.tensors[number])
        return self._tensor_records[number]

    def _tensor_record(self, tensor: Tensor) -> Record:
        strides, blob = tensor.strides, NONE
        if tensor.storage is Storage.CONSTANT:
            if tensor.data is None:
                raise ValueError(f"constant {tensor.name} has no data")
            data = np.asarray(tensor.data, tensor.dtype.numpy).reshape(tensor.shape)
            stored, strides = constant_layout(data, strides)
            blob = self._blob(stored.reshape(-1))
        border = tensor.border
        return (
            self._string(tensor.name),
            tensor.dtype,
            tensor.layout,
            tensor.storage,
            len(tensor.shape),
            tensor.symbol_axis,
            tensor.offset,
            _six(tensor.shape),
            _six(strides),
            (border.top, border.left, border.bottom, border.right),
            tensor.extent,
            tensor.scale,
            tensor.zero_point,
            blob,
            0,
        )

    def _matrix_blobs(self, number: int) -> Record:
        if number not in self._matrix_records:
            matrix = self.model.matrices[number]
            encoding, index = encode_columns(matrix)
            dense = encoding is IndexEncoding.DENSE
            counts = NONE if dense else self._blob(np.ascontiguousarray(matrix.counts, "<u4"))
            self._matrix_records[number] = (
                encoding,
                counts,
                self._blob(index),
                self._blob(_values(matrix)),
                NONE if matrix.scales is None else self._blob(np.ascontiguousarray(matrix.scales, "<f2")),
            )
        return self._matrix_records[number]

    def _matrices(self) -> list[Record]:
        records = []
        for number, matrix in enumerate(self.model.matrices):
            encoding, counts, index, values, scales = self._matrix_blobs(number)
            first = len(self._bands)
            self._bands += [(band.first_row, band.rows, band.group, 0) for band in matrix.bands]
            head = (self._string(matrix.name), matrix.rows, matrix.columns, first, len(matrix.bands))
            records.append((*head, matrix.dtype, encoding, 0, matrix.segment, counts, index, values, scales))
        return records

    def _step(self, step: Step) -> Record:
        if set(step.attributes) != {name for name, _ in OPS[step.op].attributes}:
            raise ValueError(f"step {step.name} does not have the attributes of {step.op.name}")
        words = [_word(kind, step.attributes[name]) for name, kind in OPS[step.op].attributes]
        return (
            step.op,
            len(step.inputs),
            len(step.outputs),
            0,
            self._string(step.name),
            (*step.inputs, *[-1] * (8 - len(step.inputs))),
            (*step.outputs, *[-1] * (2 - len(step.outputs))),
            (*words, *[0] * (16 - len(words))),
            0,
        )

    def _plans(self) -> tuple[list[Record], list[int]]:
        records: list[Record] = []
        ports: list[int] = []
        first_step = 0
        for plan in self.model.plans:
            records.append(self._plan(plan, first_step, len(ports)))
            first_step += len(plan.steps)
            ports += [*plan.inputs, *plan.outputs]
        return records, ports

    def _plan(self, plan: Plan, first_step: int, first_port: int) -> Record:
        steps = (first_step, len(plan.steps))
        ports = (first_port, len(plan.inputs), len(plan.outputs))
        symbol = (plan.symbol_max, plan.arena_bytes, self._string(plan.symbol))
        return (self._string(plan.name), *steps, *ports, *symbol, b"")

    def _tokenizer(self, tokenizer: Tokenizer) -> Record:
        lengths = np.array([len(piece) for piece in tokenizer.pieces], "<u4")
        return (
            tokenizer.kind,
            len(tokenizer.pieces),
            len(tokenizer.merges),
            tokenizer.bos,
            tokenizer.eos,
            tokenizer.unknown,
            self._blob(lengths),
            self._blob(b"".join(tokenizer.pieces)),
            self._blob(np.array(tokenizer.scores, "<f4")),
            self._blob(np.array(tokenizer.merges, "<u4").reshape(-1)),
            tokenizer.temperature,
            tokenizer.top_k,
            tokenizer.top_p,
            tokenizer.pre_tokenizer,
            tokenizer.normaliser,
            sum(getattr(tokenizer, name) << bit for bit, name in enumerate(TOKENIZER_FLAGS)),
            self._blob(tokenizer.marks),
            self._blob(tokenizer.chat_template.encode()),
        )


def _values(matrix: SparseMatrix) -> npt.NDArray[Any]:
    return np.ascontiguousarray(matrix.values).reshape(-1).view(np.uint8)


def _six(numbers: Sequence[int]) -> tuple[int, ...]:
    if len(numbers) > 6:
        raise ValueError(f"{len(numbers)} axes are more than 6")
    return (*numbers, *[0] * (6 - len(numbers)))


def _word(kind: str, value: float) -> int:
    packed = struct.pack("<f", value) if kind == "f" else struct.pack("<i", int(value))
    return int.from_bytes(packed, "little")


def _image(image: ImagePreprocessing) -> Record:
    if not 0 < image.channels <= 4 or min(len(image.mean), len(image.std)) < image.channels:
        raise ValueError(f"image preprocessing for {image.channels} channels needs a mean and a std for each")
    spare = [0.0] * (4 - image.channels)
    mean, std = (*image.mean[: image.channels], *spare), (*image.std[: image.channels], *spare)
    return (image.height, image.width, image.channels, image.resize, mean, std, int(image.bgr), b"")
