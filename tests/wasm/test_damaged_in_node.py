"""Damaged files in WebAssembly: each gives the code that Python gives, or runs; none traps, hangs or leaves memory."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from replaying import HERE

from edge_sparse.errors import FileFormatError
from edge_sparse.format.reader import parse_model

sys.path.insert(0, str(Path(__file__).parents[1] / "vectors"))
from file_editor import FileEditor
from make_vectors import FOLDER
from test_corruption import mutate, slots

#: What a download is refused for before other rules are looked at; where a file ends comes last.
EARLY = {"MEMORY_EXHAUSTED", "MODEL_STATE", "PLAN_ARENA"}
RESIDENT_BYTES = 400 << 20


def damaged(name, count, seed):
    """Return copies of a valid file with one to three numbers changed; most have right checksums and lengths."""
    data, random = (FOLDER / "valid" / f"{name}.egs").read_bytes(), np.random.default_rng(seed)
    files = []
    for turn in range(count):
        editor = FileEditor(data)
        places = list(slots(editor))
        for which in random.integers(len(places), size=1 + 2 * (turn % 3 == 2)):
            mutate(*places[which], random)
        file = bytearray(editor.sealed())
        if turn % 7 == 0:
            file[random.integers(len(file))] ^= 1 << random.integers(8)
        if turn % 11 == 0:
            del file[random.integers(len(file)) :]
        files.append(bytes(file))
    return files


def python_code(data):
    try:
        parse_model(data)
    except FileFormatError as error:
        return error.code
    return "ran"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("variant", ["simd", "scalar"])
def test_damaged_files_give_the_codes_of_python(variant, wasm_modules, package, run_node, tmp_path):
    count, seed = {"simd": (100, 11), "scalar": (30, 12)}[variant]
    names = sorted(path.stem for path in (FOLDER / "valid").glob("*.egs"))
    files = [file for name in names for file in damaged(name, count, seed)]
    (tmp_path / "files").write_bytes(b"".join(files))
    (tmp_path / "lengths.json").write_text(json.dumps([len(file) for file in files]))
    words = [HERE / "damaged_node.mjs", package, tmp_path / "files", tmp_path / "lengths.json", wasm_modules[variant]]
    found = json.loads(run_node(*words, flags=["--expose-gc"]))
    expected = [python_code(file) for file in files]
    wrong = Counter()
    for outcome, code in zip(found["outcomes"], expected, strict=True):
        right = outcome.startswith("ran") if code == "ran" else outcome == code
        right |= outcome in EARLY or (code == "FILE_TRUNCATED" and not outcome.startswith("ran"))
        wrong[f"{outcome}, Python: {code}"] += not right
    assert not +wrong, +wrong
    assert Counter(expected)["ran"] > len(files) // 20
    assert len(set(expected)) > 30
    assert found["resident"] < RESIDENT_BYTES
