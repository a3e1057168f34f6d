"""No damage to a file gives anything but a FileFormatError, or a model that runs."""

import contextlib

import numpy as np
import pytest
from file_editor import FileEditor
from make_vectors import FOLDER
from tiny_models import chunks

from edge_sparse import Session
from edge_sparse.errors import FileFormatError, InputError
from edge_sparse.format.reader import parse_model
from edge_sparse.format.spec import Section

SMALL = ("rows", "tokens")
MUTATED = ("rows", "tokens", "decoder", "image_chw", "image_nhwc", "network_chw", "network_nhwc", "network_s4")
MUTATED += ("windows_chw", "windows_nhwc", "described", "two_plans")
#: Memory that a mutated model may claim and still be run by the test.
RUN_BYTES = 16 << 20
BOUNDARIES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 255, 256, 1000, 4095, 4096]
BOUNDARIES += [
    2**16 - 1,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 2,
    2**32 - 1,
    2**32,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
]


def read(name):
    return (FOLDER / "valid" / f"{name}.egs").read_bytes()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_no_flipped_byte_survives(name, mask):
    data = bytearray(read(name))
    for at in range(len(data)):
        data[at] ^= mask
        with pytest.raises(FileFormatError):
            parse_model(bytes(data))
        data[at] ^= mask


@pytest.mark.parametrize("name", SMALL)
def test_no_truncation_survives(name):
    data = read(name)
    for length in range(len(data)):
        with pytest.raises(FileFormatError):
            parse_model(data[:length])


def test_errors_say_how_much_is_missing():
    data = read("rows")
    with pytest.raises(FileFormatError, match=f"m.egs: file is 1000 bytes, header promises {len(data)}") as error:
        parse_model(data[:1000], "m.egs")
    assert error.value.code == "FILE_TRUNCATED"


def outcome(data):
    """Parse and, if that succeeds, run every plan; only errors of this library may come out."""
    try:
        model = parse_model(data)
    except FileFormatError:
        return "refused"
    ports = [plan.tensors[n] for plan in model.plans for n in (*plan.inputs, *plan.outputs)]
    claims = [model.state_bytes, *(plan.arena_bytes for plan in model.plans), *(4 * port.size for port in ports)]
    claims += [4 * matrix.rows * matrix.columns for matrix in model.matrices]
    if max(claims) > RUN_BYTES:
        return "large"
    for plan in model.plans:
        session = Session.from_model(model, backend="reference", plan=plan.name)
        for inputs in chunks(model, plan):
            # A token that the mutated vocabulary lacks is an error of the input, not of the file.
            with contextlib.suppress(InputError):
                session.run(inputs)
    return "ran"


def slots(editor):
    """Return (array of one number, its name) for every number in every record."""
    for section, records in editor.sections.items():
        if section in (Section.STRINGS, Section.METADATA):
            continue
        names = records.dtype.names or ("",)
        for name in names:
            column = records[name] if name else records
            columns = [column[part] for part in column.dtype.names] if column.dtype.names else [column]
            for numbers in columns:
                if numbers.dtype.kind != "V":
                    yield from ((numbers, index) for index in np.ndindex(numbers.shape))


def mutate(numbers, index, random):
    old = numbers[index]
    if numbers.dtype.kind == "f":
        numbers[index] = random.choice([0.0, -1.0, 1e-30, 3e38, np.inf, np.nan])
        return
    choices = [*BOUNDARIES, int(old) + 1, int(old) - 1, int(old) * 2, int(old) // 2, int(old) ^ 4]
    value = choices[random.integers(len(choices))] % (1 << 8 * old.itemsize)
    numbers[index] = np.array(value, f"u{old.itemsize}").view(numbers.dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", MUTATED)
def test_mutated_fields_are_refused_or_run(name):
    data, random = read(name), np.random.default_rng(11)
    count = sum(1 for _ in slots(FileEditor(data)))
    outcomes = []
    turns = 400 if len(data) < 8000 else 150
    for turn in range(turns):
        editor = FileEditor(data)
        places = list(slots(editor))
        # Every third file is damaged in several places at once.
        for which in random.integers(count, size=1 + 2 * (turn % 3 == 2)):
            mutate(*places[which], random)
        outcomes.append(outcome(editor.sealed()))
    assert outcomes.count("refused") > turns // 4
    assert outcomes.count("ran") > 5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["rows", "tokens", "network_s4", "network_chw"])
def test_mutated_blobs_are_refused_or_run(name):
    data, random = read(name), np.random.default_rng(12)
    outcomes = []
    for _ in range(100):
        editor = FileEditor(data)
        blob = editor.blobs[random.integers(len(editor.blobs))]
        blob[random.integers(blob.size)] = random.choice([0, 1, 127, 128, 255])
        outcomes.append(outcome(editor.sealed()))
    assert set(outcomes) == {"refused", "ran"}
