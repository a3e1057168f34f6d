"""One small file, at least, for every rule of the format; the name before the first dot is the error's code."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from file_editor import FileEditor, appended, changed, changed_header
from tiny_models import delta, described, small_image, small_rows, small_tokens, tiny_decoder, two_plans

from edge_sparse.format.assembly import assemble
from edge_sparse.format.spec import HEADER, NONE, Section
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.plan import (
    Activation,
    Band,
    Border,
    DType,
    Layout,
    Model,
    Op,
    Plan,
    SparseMatrix,
    Step,
    Storage,
    Tensor,
    row_major_strides,
)

__all__ = ["invalid_files"]

_FAR = 1 << 40


def invalid_files() -> dict[str, bytes]:
    """Return the bytes of every invalid file by name."""
    rows, tokens, image, named = (assemble(make()) for make in (small_rows, small_tokens, small_image, described))
    return {
        **_shell(rows),
        **_blobs(rows),
        **_tensors(rows, image),
        **_matrices(rows, tokens),
        **_steps(rows, image),
        "MATRIX_SHARED": _shared_values(),
        **_products(image),
        **_windows(),
        **_tokens(tokens),
        **_deltas(),
        **_plans(rows, tokens),
        **_descriptions(named, tokens),
    }


def _directory(data: bytes, row: int, **fields: object) -> bytes:
    editor = FileEditor(data)
    for name, value in fields.items():
        editor.directory[row : row + 1][name] = value
    return editor.sealed()


def _with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def _shell(rows: bytes) -> dict[str, bytes]:
    editor = FileEditor(rows)
    strings_end = int(editor.directory[0]["offset"]) + int(editor.directory[0]["length"])
    last = int(editor.directory.size - 1)
    return {
        "FILE_MAGIC": b"%" + rows[1:],
        "FILE_MAGIC.text": rows.replace(b"\r\n", b"\n", 1),
        "FILE_MAGIC.short": b"\x89EGT",
        "FILE_TRUNCATED": rows[:-1],
        "FILE_TRUNCATED.header": rows[:63],
        "FILE_TRUNCATED.empty": b"",
        "FILE_VERSION": changed_header(rows, major=2),
        "HEADER_CRC": _with_byte(rows, 10, 1),
        "FILE_TRAILING": rows + b"\0",
        "FILE_TRAILING.counted": appended(rows, b"\0"),
        "HEADER_RESERVED": changed_header(rows, flags=1),
        "HEADER_RESERVED.bytes": changed_header(rows, reserved=b"\1"),
        "SECTION_COUNT": changed_header(rows, section_count=0),
        "SECTION_COUNT.many": changed_header(rows, section_count=1 << 31),
        "SECTION_COUNT.short": changed_header(rows, section_count=64),
        "DIRECTORY_CRC": _with_byte(rows, HEADER.itemsize + 20, rows[HEADER.itemsize + 20] ^ 1),
        "SECTION_ORDER": _directory(rows, 1, type=1),
        "SECTION_ORDER.zero": _directory(rows, 0, type=0),
        "SECTION_FLAGS": _directory(rows, 0, flags=3),
        "SECTION_FLAGS.optional": _directory(rows, 1, flags=0),
        "SECTION_UNKNOWN": _directory(rows, last, type=99, flags=1),
        "SECTION_OFFSET": _directory(rows, 1, offset=int(editor.directory[1]["offset"]) + 64),
        "SECTION_OFFSET.overlap": _directory(rows, 1, offset=int(editor.directory[0]["offset"])),
        "SECTION_OFFSET.length": _directory(rows, last, length=2**64 - 64),
        "SECTION_OFFSET.empty": _directory(rows, 0, length=0),
        "SECTION_SIZE": _directory(rows, 2, length=int(editor.directory[2]["length"]) - 1),
        "PADDING_NOT_ZERO": _with_byte(rows, strings_end, 1),
        "SECTION_CRC": _with_byte(rows, strings_end - 1, rows[strings_end - 1] ^ 1),
        "SECTION_MISSING": _without_last_sections(rows),
        "RESERVED_NOT_ZERO": changed(rows, Section.STEPS, reserved=1),
        "RESERVED_NOT_ZERO.blob": changed(rows, Section.BLOBS, reserved=1),
        "RESERVED_NOT_ZERO.model": changed(rows, Section.MODEL, reserved=b"\1"),
        "STRING_RANGE": changed(rows, Section.TENSORS, name=(2**32 - 1, 2**32 - 1)),
        "STRING_OVERLAP": _overlapping_strings(rows),
        "STRING_UTF8": _damaged_string(rows, 0xFF),
        "STRING_CONTROL": _damaged_string(rows, 0x1B),
        "MODEL_STATE": changed(rows, Section.MODEL, state_bytes=32),
        "MODEL_STATE.large": changed(rows, Section.MODEL, state_bytes=_FAR),
    }


def _without_last_sections(rows: bytes) -> bytes:
    """Return a file that ends after its first section."""
    editor = FileEditor(rows)
    first = editor.directory[:1].tobytes()
    offset, length = 128, int(editor.directory[0]["length"])
    strings = editor.sections[Section.STRINGS].tobytes()
    directory = first[:8] + struct.pack("<QQII", offset, length, zlib.crc32(strings), 0)
    header = bytearray(rows[: HEADER.itemsize])
    struct.pack_into("<QII", header, 16, offset + length, 1, zlib.crc32(directory))
    struct.pack_into("<I", header, 60, zlib.crc32(header[:60]))
    return bytes(header) + directory + bytes(offset - 64 - len(directory)) + strings


def _overlapping_strings(rows: bytes) -> bytes:
    """Let two tensors name nearly all of the section."""
    editor = FileEditor(rows)
    length = editor.sections[Section.STRINGS].size
    for row, name in enumerate(((0, length), (1, length - 1))):
        editor.sections[Section.TENSORS][row]["name"] = name
    return editor.sealed()


def _damaged_string(rows: bytes, value: int) -> bytes:
    editor = FileEditor(rows)
    editor.sections[Section.STRINGS][0] = value
    return editor.sealed()


def _blobs(rows: bytes) -> dict[str, bytes]:
    editor = FileEditor(rows)
    last = len(editor.blobs) - 1
    offset = int(editor.sections[Section.BLOBS][1]["offset"])
    unused = next(number for number, t in enumerate(editor.sections[Section.TENSORS]) if int(t["blob"]) != NONE)
    return {
        "BLOB_OFFSET": changed(rows, Section.BLOBS, 1, offset=offset + 64),
        "BLOB_OFFSET.overlap": changed(rows, Section.BLOBS, 1, offset=offset - 64),
        "BLOB_OFFSET.length": changed(rows, Section.BLOBS, last, length=2**63),
        "BLOB_OFFSET.empty": changed(rows, Section.BLOBS, last, length=0),
        "BLOB_CRC": _with_byte(rows, len(rows) - 1, rows[-1] ^ 1),
        "BLOB_NUMBER": changed(rows, Section.TENSORS, unused, blob=last + 1),
        "BLOB_UNUSED": _with_unused_blob(rows),
    }


def _with_unused_blob(rows: bytes) -> bytes:
    """Let the bias share the scales' place of nothing: it names the blob of the values, of the same length."""
    model = small_rows()
    bias = next(t for t in model.tensors if t.storage is Storage.CONSTANT)
    other = replace(bias, name="other", data=np.arange(6, dtype=np.float32))
    tensors = (*model.tensors, other)
    data = assemble(replace(model, plans=(replace(model.plans[0], tensors=tensors),)))
    editor = FileEditor(data)
    constants = [number for number, t in enumerate(editor.sections[Section.TENSORS]) if int(t["blob"]) != NONE]
    editor.sections[Section.TENSORS][constants[1]]["blob"] = editor.sections[Section.TENSORS][constants[0]]["blob"]
    return editor.sealed()


def _numbers(data: bytes, storage: Storage) -> int:
    """Return the number of the first tensor of a storage."""
    tensors = FileEditor(data).sections[Section.TENSORS]
    return next(number for number, tensor in enumerate(tensors) if int(tensor["storage"]) == storage)


def _tensors(rows: bytes, image: bytes) -> dict[str, bytes]:
    inside = _numbers(image, Storage.ARENA)
    constant, given = _numbers(rows, Storage.CONSTANT), _numbers(rows, Storage.INPUT)
    record = FileEditor(image).sections[Section.TENSORS][inside]
    strides, extent = record["strides"].tolist(), record["extent"].tolist()

    def arena(**fields: object) -> bytes:
        return changed(image, Section.TENSORS, inside, **fields)

    def dense(**fields: object) -> bytes:
        return changed(rows, Section.TENSORS, constant, **fields)

    def port(**fields: object) -> bytes:
        return changed(rows, Section.TENSORS, given, **fields)

    return {
        "TENSOR_DTYPE": port(dtype=0),
        "TENSOR_DTYPE.packed": port(dtype=int(DType.S4)),
        "TENSOR_LAYOUT": port(layout=3),
        "TENSOR_LAYOUT.rank": port(layout=int(Layout.CHW)),
        "TENSOR_LAYOUT.constant": _constant_image(),
        "TENSOR_STORAGE": port(storage=5),
        "TENSOR_RANK": port(rank=7),
        "TENSOR_SHAPE": port(shape=[2, 0, 0, 0, 0, 0]),
        "TENSOR_SHAPE.large": port(shape=[2**63, 2**63, 0, 0, 0, 0]),
        "TENSOR_SHAPE.rank": port(shape=[2, 5, 1, 0, 0, 0]),
        "TENSOR_STRIDES": arena(strides=[*strides[:2], 1, *strides[3:]]),
        "TENSOR_STRIDES.plane": arena(strides=[strides[0], strides[1] - 16, *strides[2:]]),
        "TENSOR_STRIDES.pixel": arena(strides=[*strides[:3], 2, *strides[4:]]),
        "TENSOR_STRIDES.constant": dense(strides=[2, 0, 0, 0, 0, 0]),
        "TENSOR_STRIDES.port": port(strides=[6, 1, 0, 0, 0, 0]),
        "TENSOR_BORDER": port(border=[0, 0, 0, 1]),
        "TENSOR_STRIDES.border": arena(border=[2**32 - 1, 0, 0, 0]),
        "TENSOR_OFFSET": arena(offset=int(record["offset"]) + 2),
        "TENSOR_OFFSET.port": port(offset=64),
        "TENSOR_EXTENT": arena(extent=[int(record["offset"]), extent[1]]),
        "TENSOR_EXTENT.end": arena(extent=[extent[0], int(record["offset"]) + 4]),
        "TENSOR_EXTENT.far": arena(offset=2**64 - 4),
        "TENSOR_EXTENT.port": port(extent=[0, 36]),
        "TENSOR_BLOB": dense(shape=[5, 0, 0, 0, 0, 0], extent=[0, 20]),
        "TENSOR_BLOB.input": port(blob=0),
        "TENSOR_SCALE": port(scale=np.nan),
        "TENSOR_SCALE.zero": port(scale=0.0),
        "TENSOR_ZERO_POINT": port(zero_point=1),
        "TENSOR_SYMBOL_AXIS": port(symbol_axis=1),
        "TENSOR_SYMBOL_AXIS.constant": dense(symbol_axis=0),
    }


def _constant_image() -> bytes:
    model = small_image()
    tensors = tuple(
        replace(t, layout=Layout.CHW, shape=(1, *t.shape), strides=(18, *t.strides), data=t.data[None])
        if t.storage is Storage.CONSTANT and t.data is not None and t.data.ndim == 3
        else t
        for t in model.tensors
    )
    return assemble(replace(model, plans=(replace(model.plans[0], tensors=tensors),)))


def _matrices(rows: bytes, tokens: bytes) -> dict[str, bytes]:
    def matrix(**fields: object) -> bytes:
        return changed(rows, Section.MATRICES, **fields)

    def packed(**fields: object) -> bytes:
        return changed(tokens, Section.MATRICES, **fields)

    def blob(data: bytes, field: str, at: int, value: int) -> bytes:
        editor = FileEditor(data)
        editor.blobs[int(editor.sections[Section.MATRICES][0][field])][at] = value
        return editor.sealed()

    dense = FileEditor(rows).sections[Section.MATRICES][0]
    scales = int(FileEditor(tokens).sections[Section.MATRICES][0]["values_blob"])
    return {
        "MATRIX_BANDS": changed(rows, Section.BANDS, 1, first_row=3),
        "MATRIX_BANDS.group": changed(rows, Section.BANDS, 0, group=3),
        "MATRIX_BANDS.divide": changed(rows, Section.BANDS, 1, group=4),
        "MATRIX_BANDS.cover": matrix(rows=7),
        "MATRIX_BANDS.range": matrix(band_count=3),
        "MATRIX_BANDS.first": matrix(first_band=1),
        "MATRIX_BANDS.unused": matrix(band_count=1, rows=4),
        "MATRIX_SIZE": matrix(columns=0),
        "MATRIX_SIZE.large": matrix(rows=2**32 - 1, columns=2**32 - 1),
        "MATRIX_DTYPE": matrix(dtype=int(DType.S32)),
        "MATRIX_SEGMENT": matrix(segment=4),
        "MATRIX_SEGMENT.multiple": packed(segment=6),
        "MATRIX_INDEX": matrix(index=3),
        "MATRIX_COUNTS": blob(rows, "counts_blob", 0, 6),
        "MATRIX_COUNTS.length": matrix(counts_blob=int(dense["values_blob"])),
        "MATRIX_COUNTS.dense": matrix(index=0),
        "MATRIX_VALUES": blob(rows, "counts_blob", 0, 2),
        "MATRIX_VALUES.none": matrix(values_blob=NONE),
        "MATRIX_SCALES": matrix(scales_blob=int(dense["values_blob"])),
        "MATRIX_SCALES.length": packed(scales_blob=scales),
        "MATRIX_SCALES.infinite": blob(tokens, "scales_blob", 1, 0x7C),
        "INDEX_DENSE": _dense_with_index(),
        "INDEX_LENGTH": matrix(index=1, index_blob=int(dense["counts_blob"])),
        "INDEX_COUNT": _flipped_index(rows, 0b00001),
        "INDEX_RANGE": _flipped_index(rows, 0b100001),
        "INDEX_COUNT.gaps": matrix(index=2, index_blob=NONE),
        "INDEX_RANGE.gaps": _far_gap(),
    }


def _dense_with_index() -> bytes:
    """Return a dense matrix that names an index all the same."""
    data = assemble(two_plans())
    values = int(FileEditor(data).sections[Section.MATRICES][0]["values_blob"])
    return changed(data, Section.MATRICES, index_blob=values)


def _flipped_index(rows: bytes, bits: int) -> bytes:
    editor = FileEditor(rows)
    matrix = editor.sections[Section.MATRICES][0]
    assert int(matrix["index"]) == 1
    editor.blobs[int(matrix["index_blob"])][0] ^= bits
    return editor.sealed()


def _far_gap() -> bytes:
    """Return a matrix with one kept column in twelve whose gap leads beyond the last."""
    model = small_rows()
    (matrix,) = model.matrices
    thin = replace(
        matrix,
        counts=np.array([1, 0], np.uint32),
        kept=np.array([4], np.uint32),
        values=np.ones(4, np.float32),
    )
    data = assemble(replace(model, matrices=(thin,)))
    editor = FileEditor(data)
    record = editor.sections[Section.MATRICES][0]
    assert int(record["index"]) == 2
    editor.blobs[int(record["index_blob"])][0] = 5
    return editor.sealed()


def _rebuilt(model: Model, change: Callable[[Model], Model]) -> bytes:
    return assemble(change(model))


def _step(model: Model, index: int, **changes: object) -> Model:
    """Return the model with some attributes of a step changed."""
    plan = model.plans[0]
    steps = list(plan.steps)
    steps[index] = replace(steps[index], attributes={**steps[index].attributes, **changes})  # type: ignore[dict-item]
    return replace(model, plans=(replace(plan, steps=tuple(steps)),))


def _tensor(model: Model, number: int, **changes: object) -> Model:
    plan = model.plans[0]
    tensors = list(plan.tensors)
    tensors[number] = replace(tensors[number], **changes)  # type: ignore[arg-type]
    return replace(model, plans=(replace(plan, tensors=tuple(tensors)),))


def _shared_values() -> bytes:
    """Let many matrices, which differ in their bands, name one blob; a writer stores equal bytes once."""
    model, side = small_rows(), 64
    counts = np.full(side, side, np.uint32)
    matrices = [
        SparseMatrix("", side, side, (Band(0, at, 1), Band(at, side - at, 1)), counts, None, DType.F16, values)
        for values in [np.zeros(side * side, np.float16)]
        for at in range(1, side)
    ]
    return assemble(replace(model, matrices=(*model.matrices, *matrices)))


def _steps(rows: bytes, image: bytes) -> dict[str, bytes]:
    def step(**fields: object) -> bytes:
        return changed(rows, Section.STEPS, **fields)

    record = FileEditor(rows).sections[Section.STEPS][0]
    inputs, words = record["inputs"].tolist(), record["words"].tolist()

    def with_words(at: int, value: int) -> bytes:
        return step(words=[*words[:at], value, *words[at + 1 :]])

    x, bias = inputs[:2]
    output = int(record["outputs"][0])
    return {
        "STEP_OP": step(op=99),
        "STEP_INPUT_COUNT": step(input_count=0),
        "STEP_INPUT_COUNT.many": step(input_count=4),
        "STEP_INPUT_COUNT.absent": step(inputs=[-1, *inputs[1:]]),
        "STEP_OUTPUT_COUNT": step(output_count=2),
        "STEP_TENSOR": step(inputs=[99, *inputs[1:]]),
        "STEP_TENSOR.negative": step(inputs=[x, -2, *inputs[2:]]),
        "STEP_TENSOR.unused": step(inputs=[*inputs[:7], 0]),
        "STEP_TENSOR.output": step(outputs=[-1, -1]),
        "STEP_WORDS": with_words(15, 1),
        "STEP_ATTRIBUTE": with_words(11, 9),
        "STEP_ATTRIBUTE.window": with_words(1, 2),
        "STEP_ATTRIBUTE.number": with_words(12, 0x7FC00000),
        "STEP_ATTRIBUTE.clamp": _rebuilt(
            small_rows(), lambda m: _step(m, 0, activation=int(Activation.CLAMP), clamp_low=1.0)
        ),
        "STEP_MATRIX": with_words(0, 1),
        "STEP_MATRIX.negative": with_words(0, 2**32 - 1),
        "STEP_DTYPE": _integers(rows, x),
        "STEP_STORAGE": step(outputs=[bias, -1]),
        "STEP_STORAGE.input": step(inputs=[output, *inputs[1:]]),
        "STEP_STORAGE.constant": step(inputs=[bias, *inputs[1:]]),
        "STEP_SHAPE": _wider_input(rows, x),
        "STEP_SHAPE.bias": _rebuilt(small_rows(), lambda m: _tensor(m, bias, shape=(2, 3), strides=(3, 1))),
        "STEP_SYMBOL": _half_symbolic(),
        "STEP_SYMBOL.row": _symbolic_row(),
        "STEP_SYMBOL.product": _symbolic_product(),
    }


def _integers(rows: bytes, x: int) -> bytes:
    return changed(rows, Section.TENSORS, x, dtype=int(DType.S32))


def _wider_input(rows: bytes, x: int) -> bytes:
    return changed(rows, Section.TENSORS, x, shape=[2, 6, 0, 0, 0, 0], strides=[6, 1, 0, 0, 0, 0], extent=[0, 48])


def _half_symbolic() -> bytes:
    """Return a plan whose output follows the symbol and whose input does not."""
    model = _tensor(small_rows(), small_rows().plans[0].outputs[0], symbol_axis=0)
    return assemble(replace(model, plans=(replace(model.plans[0], symbol="tokens", symbol_max=2),)))


def _large_symbol() -> bytes:
    """Return a plan with a symbol beyond 31 bits that no tensor follows."""
    model = small_rows()
    return assemble(replace(model, plans=(replace(model.plans[0], symbol="tokens", symbol_max=1 << 31),)))


def _symbolic_row() -> bytes:
    """Return a softmax over as many numbers as the symbol says."""
    x, y = (_row_tensor(name, storage, (64,)) for name, storage in (("x", Storage.INPUT), ("y", Storage.OUTPUT)))
    plan = Plan("main", (x, y), (Step(Op.SOFTMAX, "softmax", (0,), (1,), {}),), (0,), (1,), 0, "tokens", 64)
    return assemble(Model((plan,)))


def _symbolic_product() -> bytes:
    """Return a product of several rows for each number of the symbol."""
    model = small_rows()
    plan = model.plans[0]
    x, y = plan.inputs[0], plan.outputs[0]
    for number, width in ((x, 5), (y, 6)):
        tensor = _row_tensor(plan.tensors[number].name, plan.tensors[number].storage, (2, 3, width))
        model = _tensor(model, number, **{name: getattr(tensor, name) for name in _PLACED})
    return assemble(replace(model, plans=(replace(model.plans[0], symbol="tokens", symbol_max=2),)))


_PLACED = ("shape", "strides", "extent", "symbol_axis")


def _row_tensor(name: str, storage: Storage, shape: tuple[int, ...]) -> Tensor:
    extent = (0, 4 * int(np.prod(shape)))
    strides = row_major_strides(shape)
    return Tensor(name, DType.F32, shape, storage=storage, strides=strides, extent=extent, symbol_axis=0)


def _products(image: bytes) -> dict[str, bytes]:
    model = small_image()
    plan = model.plans[0]
    first = next(index for index, step in enumerate(plan.steps) if step.op is Op.DWCONV)
    x, weight = plan.steps[first].inputs[:2]
    y = plan.steps[first].outputs[0]
    wide = plan.tensors[y]
    return {
        "STEP_WINDOW": _rebuilt(model, lambda m: _step(m, first, pad_top=2)),
        "STEP_WINDOW.right": _rebuilt(model, lambda m: _step(m, first, dilation_w=2)),
        "STEP_WINDOW.border": _rebuilt(model, lambda m: _tensor(m, x, border=Border(1, 1, 0, 1))),
        "STEP_LAYOUT": _rebuilt(model, lambda m: _tensor(m, y, **_as_nhwc(wide.shape, wide.offset))),
        "STEP_STRIDES": _rebuilt(model, lambda m: _tensor(m, weight, strides=(1, 6, 2))),
        "STEP_UNWRITTEN": _rebuilt(model, lambda m: _without_step(m, 0)),
        "STEP_OVERWRITTEN": _overwritten(),
        "STEP_OVERLAP": _rebuilt(model, lambda m: _tensor(m, y, **_placed_like(plan.tensors[x]))),
        "STEP_OVERLAP.self": changed(image, Section.STEPS, first, outputs=[x, -1]),
        "STEP_READ": _long_reach(),
        "STEP_ROW_STRIDE": _uneven_rows(),
    }


def _as_nhwc(shape: tuple[int, ...], offset: int) -> dict[str, object]:
    _, channels, height, width = shape
    row = (width + 1) * channels
    strides = (height * row, 1, row, channels)
    return {"layout": Layout.NHWC, "strides": strides, "border": Border()}


def _placed_like(tensor: Tensor) -> dict[str, object]:
    return {"offset": tensor.offset, "extent": tensor.extent}


def _overwritten() -> bytes:
    """Return a plan whose mean is that of an image whose memory a later one has taken."""
    model = small_image()
    plan = model.plans[0]
    mean = next(index for index, step in enumerate(plan.steps) if step.op is Op.MEAN)
    steps = list(plan.steps)
    steps[mean] = replace(steps[mean], inputs=plan.steps[0].outputs)
    return assemble(replace(model, plans=(replace(plan, steps=tuple(steps)),)))


def _without_step(model: Model, index: int) -> Model:
    plan = model.plans[0]
    return replace(model, plans=(replace(plan, steps=plan.steps[:index] + plan.steps[index + 1 :]),))


def _long_reach() -> bytes:
    """Return a depthwise convolution of two pixels so far apart that a vector of them leaves the arena."""
    from graph_builder import GraphBuilder
    from tiny_models import lower

    builder = GraphBuilder(1, 2, 1, 301)
    y = builder.depthwise("x", 1, stride=(1, 300))
    return assemble(lower(builder.finish(builder.mean(y)), {}, layout="chw"))


def _uneven_rows() -> bytes:
    """Return a product whose input has longer rows than its output."""
    from graph_builder import GraphBuilder
    from tiny_models import lower

    builder = GraphBuilder(1, 2, 3, 4)
    model = lower(builder.finish(builder.mean(builder.conv("x", 2))), {}, layout="chw")
    step = next(step for step in model.plans[0].steps if step.op is Op.SPMM)
    n, c, _, w = model.plans[0].tensors[step.inputs[0]].strides
    return assemble(_tensor(model, step.inputs[0], strides=(n, c, 5, w)))


def _windows() -> dict[str, bytes]:
    from graph_builder import GraphBuilder
    from tiny_models import lower

    builder = GraphBuilder(1, 1, 4, 4)
    model = lower(builder.finish(builder.pool("max_pool", "x", 2, 2)), {}, layout="chw")
    pool = next(index for index, step in enumerate(model.plans[0].steps) if step.op is Op.MAX_POOL)
    return {
        "STEP_WINDOW.pool_before": _rebuilt(model, lambda m: _step(m, pool, pad_top=2)),
        "STEP_WINDOW.pool_after": _rebuilt(model, lambda m: _step(m, pool, stride_w=4)),
        "STEP_WINDOW.pool_dilation": _rebuilt(model, lambda m: _step(m, pool, dilation_h=5)),
        "STEP_ATTRIBUTE.pool": _rebuilt(model, lambda m: _step(m, pool, kernel_h=0)),
    }


def _tokens(tokens: bytes) -> dict[str, bytes]:
    decoder = tiny_decoder()
    plan = decoder.plans[0]
    attend = next(index for index, step in enumerate(plan.steps) if step.op is Op.ATTENTION)
    caches = plan.steps[attend].inputs[3:5]
    offset, extent = plan.tensors[caches[0]].offset, plan.tensors[caches[0]].extent
    integers = with_attention(decoder, ExactAttention(DType.S8))
    scales = integers.plans[0].steps[attend].inputs[6]
    rows, width = plan.tensors[caches[0]].shape
    wide = (offset, offset + 8 * rows * width)
    return {
        "STEP_DTYPE.cache": _rebuilt(decoder, lambda m: _tensor(m, caches[0], dtype=DType.S32)),
        "STEP_DTYPE.caches": _rebuilt(decoder, lambda m: _tensor(m, caches[1], dtype=DType.F16)),
        "STEP_DTYPE.scales": _rebuilt(integers, lambda m: _tensor(m, scales, dtype=DType.S32)),
        "STEP_INPUT_COUNT.scales": _rebuilt(integers, lambda m: _inputs(m, attend, ())),
        "STEP_INPUT_COUNT.float_scales": _rebuilt(decoder, lambda m: _inputs(m, attend, caches)),
        "STEP_SHAPE.scales": _rebuilt(integers, lambda m: _tensor(m, scales, shape=(rows, 1), strides=(1, 1))),
        "STEP_SHAPE.cache_rows": _rebuilt(decoder, lambda m: _shorter(m, caches)),
        "STEP_STRIDES.cache": _rebuilt(decoder, lambda m: _tensor(m, caches[0], strides=(2 * width, 1), extent=wide)),
        "STEP_OVERLAP.caches": _rebuilt(decoder, lambda m: _tensor(m, caches[1], offset=offset, extent=extent)),
        "STEP_ATTRIBUTE.heads": _rebuilt(decoder, lambda m: _step(m, attend, kv_heads=3)),
        "STEP_SHAPE.heads": _rebuilt(decoder, lambda m: _step(m, attend, heads=2)),
        "TENSOR_EXTENT.state": _rebuilt(decoder, lambda m: replace(m, state_bytes=64)),
        "PLAN_SYMBOL": changed(tokens, Section.PLANS, symbol_max=5),
        "PLAN_SYMBOL.large": _large_symbol(),
        "PLAN_SYMBOL.unnamed": changed(tokens, Section.PLANS, symbol=(0, 0)),
    }


def _inputs(model: Model, index: int, scales: tuple[int, ...]) -> Model:
    """Return the model with other scales in an attention step."""
    plan = model.plans[0]
    steps = list(plan.steps)
    steps[index] = replace(steps[index], inputs=(*steps[index].inputs[:6], *scales))
    return replace(model, plans=(replace(plan, steps=tuple(steps)),))


def _shorter(model: Model, caches: tuple[int, ...]) -> Model:
    """Return the model with caches of a row less."""
    for number in caches:
        rows, width = model.tensors[number].shape
        model = _tensor(model, number, shape=(rows - 1, width))
    return model


def _deltas() -> dict[str, bytes]:
    model = delta()
    deltas, values, position, exact, marks = model.plans[0].steps[0].inputs[3:]

    def tensor(number: int, **fields: object) -> bytes:
        return _rebuilt(model, lambda m: _tensor(m, number, **fields))

    def smaller(number: int, axis: int) -> bytes:
        """Take one from an axis, at the same strides."""
        shape = model.tensors[number].shape
        return tensor(number, shape=(*shape[:axis], shape[axis] - 1, *shape[axis + 1 :]))

    place = {name: getattr(model.tensors[deltas], name) for name in ("offset", "extent")}
    return {
        "STEP_SHAPE.deltas": smaller(deltas, 1),
        "STEP_SHAPE.delta_values": tensor(values, shape=(3, 68)),
        "STEP_SHAPE.delta_rows": tensor(exact, shape=(5, 68)),
        "STEP_STRIDES.marks": smaller(marks, 1),
        "STEP_SHAPE.mark_words": smaller(marks, 2),
        "STEP_SHAPE.window": tensor(position, shape=(1,), extent=(0, 4)),
        "STEP_DTYPE.marks": tensor(marks, dtype=DType.F32),
        "STEP_DTYPE.exact_keys": tensor(exact, dtype=DType.F16),
        "STEP_OVERLAP.delta": tensor(marks, **place),
        "STEP_ATTRIBUTE.theta": _rebuilt(model, lambda m: _step(m, 0, theta=-1.0)),
        "STEP_ATTRIBUTE.sinks": _rebuilt(model, lambda m: _step(m, 0, sinks=-1)),
        "STEP_ATTRIBUTE.delta_heads": _rebuilt(model, lambda m: _step(m, 0, kv_heads=3)),
    }


def _plans(rows: bytes, tokens: bytes) -> dict[str, bytes]:
    def plan(**fields: object) -> bytes:
        return changed(rows, Section.PLANS, **fields)

    two = assemble(two_plans())
    ports = FileEditor(rows).sections[Section.PORTS].tolist()
    return {
        "PLAN_STEPS": plan(step_count=0),
        "PLAN_STEPS.first": plan(first_step=1),
        "PLAN_STEPS.range": plan(step_count=2**32 - 1),
        "PLAN_STEPS.unused": _with_spare_step(),
        "PLAN_PORTS": plan(output_count=0),
        "PLAN_PORTS.first": plan(first_port=1),
        "PLAN_PORTS.range": plan(input_count=2**32 - 1),
        "PLAN_PORTS.storage": _ports(rows, [ports[1], ports[1]]),
        "PLAN_PORTS.number": _ports(rows, [2**32 - 1, ports[1]]),
        "PLAN_PORTS.unnamed": changed(rows, Section.TENSORS, ports[0], name=(0, 0)),
        "PLAN_PORTS.unused": _ports_left(),
        "PLAN_ARENA": changed(tokens, Section.PLANS, arena_bytes=64),
        "PLAN_ARENA.odd": plan(arena_bytes=1),
        "PLAN_ARENA.large": plan(arena_bytes=_FAR),
        "PLAN_NAME": _same_names(two),
        "PLAN_OUTPUT": _unwritten_output(),
    }


def _ports(data: bytes, numbers: list[int]) -> bytes:
    editor = FileEditor(data)
    editor.sections[Section.PORTS][: len(numbers)] = numbers
    return editor.sealed()


def _ports_left() -> bytes:
    """Return a plan that forgets one of its ports."""
    model = two_plans()
    data = assemble(replace(model, plans=model.plans[:1]))
    editor = FileEditor(data)
    editor.sections[Section.PLANS][0]["input_count"] = 0
    editor.sections[Section.PORTS][0] = editor.sections[Section.PORTS][1]
    return editor.sealed()


def _with_spare_step() -> bytes:
    """Return a plan that leaves out its last step."""
    data = assemble(small_tokens())
    return changed(data, Section.PLANS, step_count=2)


def _same_names(two: bytes) -> bytes:
    editor = FileEditor(two)
    editor.sections[Section.PLANS][1]["name"] = editor.sections[Section.PLANS][0]["name"]
    return editor.sealed()


def _unwritten_output() -> bytes:
    """Return a plan with an output that no step writes."""
    model = two_plans()
    first = model.plans[0]
    return assemble(replace(model, plans=(replace(first, outputs=(*first.outputs, 2)),)))


def _descriptions(named: bytes, tokens: bytes) -> dict[str, bytes]:
    def image(**fields: object) -> bytes:
        return changed(named, Section.IMAGE, **fields)

    def tokenizer(**fields: object) -> bytes:
        return changed(tokens, Section.TOKENIZER, **fields)

    editor = FileEditor(tokens)
    record = editor.sections[Section.TOKENIZER][0]
    editor.blobs[int(record["merges_blob"])][0] = 8
    marks, template, matched = FileEditor(tokens), FileEditor(tokens), FileEditor(tokens)
    matched.blobs[int(record["bytes_blob"])][-1] = 0xC3
    marks.blobs[int(record["marks_blob"])][0] = 8
    template.blobs[int(record["template_blob"])][0] = 0xFF
    text = FileEditor(named)
    text.sections[Section.METADATA][0] = ord("[")
    return {
        "IMAGE_VALUES": image(channels=5),
        "IMAGE_VALUES.std": image(std=[1.0, 1.0, 0.0, 0.0]),
        "IMAGE_VALUES.mean": image(mean=[np.inf, 0.0, 0.0, 0.0]),
        "IMAGE_VALUES.resize": image(resize=4),
        "IMAGE_VALUES.bgr": image(bgr=2),
        "IMAGE_SHAPE": image(height=3),
        "TOKENIZER_KIND": tokenizer(kind=4),
        "TOKENIZER_TOKEN": tokenizer(bos=8),
        "TOKENIZER_SIZE": tokenizer(piece_count=9),
        "TOKENIZER_SIZE.many": tokenizer(piece_count=2**32 - 1),
        "TOKENIZER_SIZE.scores": tokenizer(scores_blob=int(record["lengths_blob"])),
        "TOKENIZER_VALUES": editor.sealed(),
        "TOKENIZER_VALUES.marks": marks.sealed(),
        "TOKENIZER_VALUES.matched": matched.sealed(),
        "TOKENIZER_SIZE.marks": tokenizer(marks_blob=int(record["lengths_blob"])),
        "TOKENIZER_FLAGS": tokenizer(flags=16),
        "TOKENIZER_FLAGS.kind": tokenizer(flags=2),
        "TOKENIZER_FLAGS.bos": tokenizer(flags=1, bos=-1),
        "TOKENIZER_FLAGS.pre_tokenizer": tokenizer(pre_tokenizer=5),
        "TOKENIZER_FLAGS.normaliser": changed(named, Section.TOKENIZER, normaliser=1),
        "TOKENIZER_TEMPLATE": template.sealed(),
        "TOKENIZER_SAMPLING": tokenizer(temperature=-1.0),
        "TOKENIZER_SAMPLING.top_p": tokenizer(top_p=np.nan),
        "METADATA_JSON": text.sealed(),
        "METADATA_JSON.deep": _nested(5000),
    }


def _nested(depth: int) -> bytes:
    """Return a file whose metadata opens many lists and closes none."""
    editor = FileEditor(assemble(replace(described(), metadata={"x": "[" * depth})))
    editor.sections[Section.METADATA][:] = ord("[")
    return editor.sealed()
