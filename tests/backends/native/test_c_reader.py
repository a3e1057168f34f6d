"""The C reader refuses what the Python reader refuses, with the same code, and nothing else."""

import os
from dataclasses import replace

import numpy as np
import pytest
from c_models import VECTORS, CountingAllocator, c_code, c_library, open_bytes, open_path, python_code

# Modules beside the vectors and the tests of backends, whose folders c_models adds.
from file_editor import FileEditor, changed, with_section
from test_corruption import mutate, slots
from tiny_models import described, small_rows
from tiny_plan import TinyPlan

from edge_sparse.format.assembly import assemble
from edge_sparse.format.spec import Section
from edge_sparse.plan import Layout, Op, Storage

VALID = sorted((VECTORS / "valid").glob("*.egs"))
INVALID = sorted((VECTORS / "invalid").glob("*.egs"))
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def _library():
    c_library()


def read(name):
    return (VECTORS / "valid" / f"{name}.egs").read_bytes()


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_files_open(path):
    assert open_path(path) == ("OK", "")
    # Constants are copied where their elements would not be aligned.
    for shift in (0, 1, 4, 32, 63):
        assert open_bytes(path.read_bytes(), shift) == ("OK", "")


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_files_give_their_code(path):
    code, message = open_path(path)
    assert code == path.name.split(".")[0]
    assert message.startswith(f"{path.name}: ")
    assert open_bytes(path.read_bytes(), 1)[0] == code


@pytest.mark.parametrize("name", ["rows", "tokens"])
def test_no_truncation_survives(name):
    data = read(name)
    for length in [*range(200), *range(200, len(data), 3)]:
        assert c_code(data[:length]) == python_code(data[:length]) != "OK"


@pytest.mark.parametrize("name", ["rows", "tokens"])
@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_flipped_bytes_give_the_code_that_python_gives(name, mask):
    data = bytearray(read(name))
    for at in range(0, len(data), 7):
        data[at] ^= mask
        assert c_code(bytes(data)) == python_code(bytes(data)) != "OK"
        data[at] ^= mask


def copy_neighbour(editor, random):
    """Give a field the value that it has in another record, so that deep rules are reached."""
    section = random.choice([Section.STEPS, Section.TENSORS, Section.PLANS, Section.PORTS, Section.MATRICES])
    records = editor.sections.get(section)
    if records is None:
        return
    names = records.dtype.names or ("",)
    name = names[random.integers(len(names))]
    column = records[name] if name else records
    if column.dtype.kind in "iu" and random.integers(2):
        index = tuple(random.integers(size) for size in column.shape)
        near = int(column[index]) + int(random.integers(-2, 3))
        column[index] = np.array(near % (1 << 8 * column.itemsize), f"u{column.itemsize}").view(column.dtype)
        return
    column[random.integers(len(column))] = column[random.integers(len(column))]


def damaged(data, turn, random):
    """Return a file with some fields, bytes of blobs or bits changed, and its checksums right."""
    editor = FileEditor(data)
    kind = turn % 5
    if kind < 2:
        places = list(slots(editor))
        for which in random.integers(len(places), size=1 + 2 * kind):
            mutate(*places[which], random)
    elif kind == 2 and editor.blobs:
        blob = editor.blobs[random.integers(len(editor.blobs))]
        blob[random.integers(blob.size)] = random.choice([0, 1, 2, 127, 128, 254, 255])
    elif kind == 3:
        for at in random.integers(64, len(editor.data), size=1 + turn % 3):
            editor.data[at] ^= 1 << int(random.integers(8))
    else:
        copy_neighbour(editor, random)
    return editor.sealed()


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_damaged_files_give_the_code_that_python_gives(path):
    random, data = np.random.default_rng(21), path.read_bytes()
    codes = set()
    for turn in range(150):
        file = damaged(data, turn, random)
        expected = python_code(file)
        assert c_code(file) == expected
        codes.add(expected)
    assert len(codes) > 8


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"a": [1, -0.5e+3, true, false, null, "\\u00e9\\n\\ud800"], "b": {}}',
            " {\t}\r\n",
            '{"a": {"b": [[], {}]}}',
        ),
        *("{", "}", "[]", "1", '{"a"}', '{"a": 1,}', '{"a": [1,]}', '{"a": 01}', '{"a": 1.}', '{"a": .5}', '{"a": 1e}'),
        *(
            '{"a": -}',
            '{"a": NaN}',
            '{"a": Infinity}',
            '{"a": nul}',
            '{"a": "\x01"}',
            '{"a": "\\x"}',
            '{"a": "\\u12g4"}',
        ),
        *(
            "{'a': 1}",
            '{"a": 1} x',
            '{"a": 1}}',
            '{"a": "b}',
            '{"a": [}',
            '{"a": {]}',
            "\ufeff{}",
            "{a: 1}",
            '{"a":: 1}',
        ),
        *('{"a": ' + "1" * 4300 + "}", '{"a": ' + "1" * 4301 + "}", '{"a": ' + "1" * 4301 + ".5}", '{"a": "\x7f"}'),
        *(
            '{"a": ' + "[" * 300 + "]" * 300 + "}",
            '{"a": ' + "[" * 4000 + "]" * 4000 + "}",
            '{"a" 1}',
            "{,}",
            '{"a": 1 2}',
        ),
    ],
)
def test_metadata_is_json_where_python_says_so(text):
    content = text.encode()
    # Spaces around a value change nothing.
    content = content.ljust(64)
    editor = FileEditor(assemble(replace(described(), metadata={"x": " " * (len(content) - 9)})))
    editor.sections[Section.METADATA][:] = np.frombuffer(content, np.uint8)
    assert c_code(editor.sealed()) == python_code(editor.sealed())


def test_metadata_that_is_not_utf8_is_refused():
    editor = FileEditor(assemble(replace(described(), metadata={"x": " " * 32})))
    editor.sections[Section.METADATA][8] = 0xC0
    assert c_code(editor.sealed()) == "METADATA_JSON"


def test_messages_name_the_tensor_and_stay_whole_characters():
    model = small_rows()
    tensors = (replace(model.tensors[0], name="é" * 150), *model.tensors[1:])
    plans = tuple(replace(plan, tensors=tensors) for plan in model.plans)
    data = assemble(replace(model, plans=plans))
    code, message = open_bytes(changed(data, Section.TENSORS, 0, scale=0.0))
    assert code == "TENSOR_SCALE"
    assert message == f"tensor 0 ({'é' * 40}): scale 0 is not a positive number"


def test_a_part_of_a_file_opens_by_its_descriptor(tmp_path):
    path, data = tmp_path / "archive", read("tokens")
    path.write_bytes(bytes(4099) + data + b"tail")
    with path.open("rb") as file:
        assert open_path(path, file.fileno(), 4099, len(data)) == ("OK", "")
        assert open_path(path, file.fileno(), 4099)[0] == "FILE_TRAILING"
        assert open_path(path, file.fileno(), 0)[0] == "FILE_MAGIC"
        assert open_path(path, file.fileno(), 4099, len(data) + 5)[0] == "FILE_TRUNCATED"
        assert os.pread(file.fileno(), 4, 0) == bytes(4)


def test_files_that_cannot_be_read_are_told_apart(tmp_path):
    assert open_path(tmp_path / "none.egs")[0] == "FILE_NOT_FOUND"
    assert open_path(tmp_path)[0] == "FILE_UNREADABLE"
    (tmp_path / "empty.egs").write_bytes(b"")
    assert open_path(tmp_path / "empty.egs")[0] == "FILE_TRUNCATED"


@pytest.mark.parametrize("name", ["described", "network_s4"])
def test_every_allocation_may_fail(name):
    allocator = CountingAllocator()
    assert open_bytes(read(name), 1, allocator.options)[0] == "OK"
    assert allocator.calls == 3
    assert allocator.used == 0
    for refused in range(3):
        failing = CountingAllocator(refused)
        assert open_bytes(read(name), 1, failing.options)[0] == "MEMORY_EXHAUSTED"
        assert failing.used == 0


def test_an_allocator_has_both_functions_or_neither():
    assert open_bytes(read("example"), 0, CountingAllocator(-1, "allocate", "release").options)[0] == "OK"
    for missing in ("allocate", "release"):
        allocator = CountingAllocator(-1, missing)
        assert open_bytes(read("example"), 0, allocator.options)[0] == "ARGUMENT_NULL"
        assert allocator.calls == 0


def labelled(count):
    """Return a file of so many labels, 20000 of them different."""
    model = replace(described(), labels=tuple(chr(0x4E00 + number % 20000) for number in range(count)))
    return assemble(model)


def test_refused_files_take_no_more_memory_than_twice_their_size():
    for path in INVALID:
        data, allocator = path.read_bytes(), CountingAllocator()
        open_bytes(data, 0, allocator.options)
        assert allocator.largest <= 2 * len(data) + (1 << 20)
    data, allocator = changed(labelled(200000), Section.LABELS, 199999, length=1 << 30), CountingAllocator()
    assert open_bytes(data, 0, allocator.options)[0] == "STRING_RANGE"
    assert len(data) < allocator.largest <= 2 * len(data) + (32 << 20)


def test_rows_around_an_axis_of_length_1_lie_at_one_distance():
    # Three rows, then three more: whether there is a gap between them shows in the strides of the first axis alone.
    for gap, code in ((0, "OK"), (12, "STEP_STRIDES")):
        plan = TinyPlan(0)
        x, y = plan.input("x", (2, 1, 3, 4)), plan.output("y", (2, 1, 3, 4))
        between = plan.arena((2, 1, 3, 4))
        plan.tensors[between] = replace(
            plan.tensors[between], strides=(12 + gap, 12 + gap, 4, 1), extent=(0, 4 * (24 + gap))
        )
        plan.bytes[Storage.ARENA] = 192
        plan.step(Op.SOFTMAX, [x], between)
        plan.step(Op.COPY, [between], y)
        data = assemble(plan.model())
        assert c_code(data) == python_code(data) == code


def test_images_of_one_channel_do_not_overlap():
    # The distance of planes says nothing where there is one; it owns 16 elements.
    for distance, code in ((16, "OK"), (15, "TENSOR_STRIDES"), (1, "TENSOR_STRIDES")):
        plan = TinyPlan(0)
        shape = (2, 1, 2, 2)
        x, y, between = plan.input("x", shape), plan.output("y", shape), plan.arena(shape)
        images = replace(plan.tensors[between], layout=Layout.CHW, strides=(distance, 1, 2, 1))
        plan.tensors[between] = replace(images, extent=(0, 4 * (distance + 16)))
        plan.bytes[Storage.ARENA] = 128
        plan.step(Op.COPY, [x], between)
        plan.step(Op.COPY, [between], y)
        data = assemble(plan.model())
        assert c_code(data) == python_code(data) == code


def test_strings_that_would_share_a_bucket_are_told_apart():
    # 2000 lengths at one place, named again and again.
    count = 5000
    editor = FileEditor(assemble(replace(described(), labels=tuple(f"{number:05}" * 400 for number in range(count)))))
    labels = editor.sections[Section.LABELS]
    labels["offset"], labels["length"] = labels["offset"][0], np.arange(count) % 2000 + 1
    assert c_code(editor.sealed()) == python_code(editor.sealed()) == "OK"


def test_checksums_are_those_of_zlib_at_every_length():
    random, data = np.random.default_rng(3), read("rows")
    for length in [*range(1, 200), 255, 256, 1023, 4097, 65537]:
        content = random.integers(0, 256, length, dtype=np.uint8).tobytes()
        file = bytearray(with_section(data, 100, content))
        assert c_code(bytes(file)) == "OK"
        file[file.rindex(content)] ^= 1 << int(random.integers(8))
        assert c_code(bytes(file)) == "SECTION_CRC"


def test_growing_numbers_never_wrap():
    # Sizes whose products pass 2**64.
    data = read("image_chw")
    for shape, strides in (
        ((1 << 32, 1 << 32, 1, 1), (1, 1, 1, 1)),
        ((1, 1, 1 << 31, 1), (1, 1, 1 << 32, 1)),
        ((1, 1 << 16, 1 << 14, 1), (1 << 32, 1 << 32, 1 << 32, 1)),
        ((2, 1, 1, 1), (1 << 32, 1 << 32, (1 << 32) - 1, 1)),
    ):
        for row, _ in enumerate(FileEditor(data).sections[Section.TENSORS]):
            changes = {"shape": (*shape, 0, 0), "strides": (*strides, 0, 0), "border": (2**32 - 1,) * 4}
            file = changed(data, Section.TENSORS, row, **changes)
            assert c_code(file) == python_code(file) != "OK"


def test_codes_are_those_of_the_list():
    library = c_library()
    names = [library.es_status_name(number).decode() for number in range(200)]
    known = [name for name in names if name != "UNKNOWN"]
    assert len(set(known)) == len(known) > 100
    assert {path.name.split(".")[0] for path in INVALID} <= set(known)
    assert all(library.es_status_hint(number) for number in range(1, 50))
