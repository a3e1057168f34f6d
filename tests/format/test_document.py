"""``docs/format.md`` says what the code does: records, op codes, sections, error codes, and the example's bytes."""

import re
from pathlib import Path

import pytest

from edge_sparse.format import spec
from edge_sparse.format.ops import OPS
from edge_sparse.plan import Activation, DType

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
RECORDS = [
    spec.HEADER,
    spec.DIRECTORY_ENTRY,
    spec.MODEL,
    spec.TENSOR,
    spec.BAND,
    spec.MATRIX,
    spec.STEP,
    spec.PLAN,
    spec.BLOB,
    spec.IMAGE,
    spec.TOKENIZER,
]


def rows(header):
    """Return the rows of every table with this header line, as lists of cells."""
    tables = []
    for part in TEXT.split(header)[1:]:
        lines = part.split("\n")[2:]
        body = []
        for line in lines:
            if not line.startswith("|"):
                break
            body.append([cell.strip() for cell in line.strip("|").split("|")])
        tables.append(body)
    return tables


def test_record_tables():
    tables = rows("| offset | size | field | meaning |")
    described = [[(int(o), int(s), f.strip("`")) for o, s, f, _ in table] for table in tables]
    defined = [
        [(dtype.fields[name][1], dtype.fields[name][0].itemsize, name) for name in dtype.names] for dtype in RECORDS
    ]
    assert sorted(described) == sorted(defined)


def test_op_table():
    (table,) = rows("| code | op | inputs | words | meaning |")
    described = [(int(code), op, inputs, re.findall(r"`(\w+)` ([if])", words)) for code, op, inputs, words, *_ in table]
    defined = []
    for op, signature in OPS.items():
        names = [n if i < signature.required_inputs else f"[{n}]" for i, n in enumerate(signature.inputs)]
        defined.append((int(op), op.name, ", ".join(names), list(signature.attributes)))
    assert described == defined


def test_section_table():
    (table,) = rows("| type | section | record bytes | at most | flags |")
    numbers = {"16 MiB": 16 << 20, "1 MiB": 1 << 20, "2²⁰": 1 << 20, "2¹³": 1 << 13, "64": 64, "1": 1}
    for kind, name, size, limit, flags in table:
        section = spec.Section(int(kind))
        assert section.name == name
        assert size == (str(spec.RECORDS[section].itemsize) if section in spec.RECORDS else "–")
        assert numbers[limit] == spec.LIMITS[section]
        assert flags.startswith("REQUIRED") == (section not in spec.OPTIONAL)
    assert len(table) == len(spec.Section)


@pytest.mark.parametrize("value", [*DType, *Activation], ids=lambda value: value.name)
def test_enumerations(value):
    number, name = int(value), value.name
    assert f"| {number} | {name}" in TEXT or re.search(rf"{number} {name.lower()}\b", TEXT)


def test_every_code_is_a_rule():
    codes = {path.name.split(".")[0] for path in (ROOT / "tests" / "vectors" / "invalid").glob("*.egs")}
    described = {cell for table in rows("| rule | code |") for row in table for cell in row[1].split(", ")}
    assert described == codes


def test_the_example_is_the_vector():
    data = (ROOT / "tests" / "vectors" / "valid" / "example.egs").read_bytes()
    result, repeats = bytearray(), False
    for line in TEXT.split("## 8. Example")[1].split("```")[1].strip().split("\n"):
        if line == "*":
            repeats = True
            continue
        at, *pairs = line.split()
        if repeats:
            line_before = result[-16:]
            while len(result) < int(at, 16):
                result += line_before
            repeats = False
        assert len(result) == int(at, 16)
        result += bytes(int(pair, 16) for pair in pairs)
    assert result == data
