"""Arrays and pictures through the command line equal a session's results; bad files give typed errors."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import SHAPE
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder

from edge_sparse import load
from edge_sparse.cli.arrays import read_arrays
from edge_sparse.errors import InputError, OutputFileError
from edge_sparse.format.writer import write_model
from edge_sparse.output_file import write_atomically


@pytest.fixture
def x_file(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


@pytest.fixture
def two_inputs(tmp_path):
    """A file with inputs left and right, and outputs of both; names with a path in them must not matter."""
    builder = GraphBuilder(1, 4, 6, 6)
    graph = builder.graph
    graph.values["right"] = type(graph.values["x"])("right", (1, 4, 6, 6))
    graph.inputs = ["x", "right"]
    total = builder.same("add", builder.conv("x", 4), builder.conv("right", 4))
    model = lower(builder.finish(total, builder.mean(total)), {})
    write_model(model, tmp_path / "two.egs")
    return tmp_path / "two.egs"


def test_npy_in_and_out(cli, model_file, x_file, x, tmp_path):
    y = tmp_path / "y.npy"
    outcome = cli("run", model_file, "--input", x_file, "-o", y)
    assert (outcome.code, outcome.out) == (0, "")
    np.testing.assert_array_equal(np.load(y), load(model_file)(x))
    assert y.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_names_and_archives(cli, two_inputs, tmp_path):
    left, right = (np.random.default_rng(n).standard_normal((1, 4, 6, 6)).astype(np.float32) for n in range(2))
    np.save(tmp_path / "left.npy", left)
    np.save(tmp_path / "right.npy", np.asfortranarray(right))
    np.savez(tmp_path / "both.npz", x=left, right=right)
    session = load(two_inputs)
    expected = session.run({"x": left, "right": right})
    for number, given in enumerate(
        [
            ["--input", tmp_path / "left.npy", "--input", tmp_path / "right.npy"],
            ["--input", f"right={tmp_path / 'right.npy'}", "-i", tmp_path / "left.npy"],
            ["--input", tmp_path / "both.npz"],
        ]
    ):
        out = tmp_path / f"out{number}.npz"
        assert cli("run", two_inputs, *given, "-o", out).code == 0
        with np.load(out) as result:
            assert set(result) == set(expected)
            for name, array in expected.items():
                np.testing.assert_array_equal(result[name], array)


def test_results_on_the_terminal(cli, model_file, x_file, x):
    y = load(model_file)(x)
    outcome = cli("run", model_file, "--input", x_file, "--threads", 2)
    assert outcome.code == 0
    assert f"{y.max():.6g}" in outcome.out
    (values,) = cli("run", model_file, "--input", x_file, "--json").json.values()
    np.testing.assert_allclose(np.reshape(values["values"], values["shape"]), y)
    reference = cli("run", model_file, "--input", x_file, "--json", "--backend", "reference")
    np.testing.assert_allclose(next(iter(reference.json.values()))["values"], y.ravel(), rtol=1e-4)


def test_values_that_are_not_finite_stay_valid_json(cli, model_file, tmp_path):
    np.save(tmp_path / "nan.npy", np.full(SHAPE, np.nan, np.float32))
    (values,) = cli("run", model_file, "--input", tmp_path / "nan.npy", "--json").json.values()
    assert values["values"] == [None] * 4


def test_pictures(cli, model_file, tmp_path):
    pil = pytest.importorskip("PIL.Image", reason="needs Pillow: edge_sparse[image]")
    pictures = [tmp_path / f"{n}.png" for n in range(2)]
    for number, path in enumerate(pictures):
        pil.fromarray(np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    outcome = cli("run", model_file, "--image", *pictures, "--top", 2)
    assert outcome.code == 0
    documents = cli("run", model_file, "--image", *pictures, "--top", 2, "--json").json
    session = load(model_file)
    for path, document in zip(pictures, documents, strict=True):
        expected = session.classify(path, 2)
        assert [(row["label"], row["probability"]) for row in document["labels"]] == expected
        assert f"{expected[0][1]:.1%}" in outcome.out
        assert expected[0][0] in outcome.out


def test_pictures_that_fail(failure, model_file, model, tmp_path):
    pytest.importorskip("PIL", reason="needs Pillow: edge_sparse[image]")
    import dataclasses

    picture = tmp_path / "x.png"
    assert failure("run", model_file, "--image", picture) == ("IMAGE_NOT_FOUND", 3)
    picture.write_bytes(b"garbage")
    assert failure("run", model_file, "--image", picture) == ("IMAGE_UNREADABLE", 3)
    assert failure("run", model_file, "--image", picture, "--top", 0) == ("TOP_RANGE", 3)
    assert failure("run", model_file, "--image", picture, "-o", "y.npy") == ("USAGE", 3)
    write_model(dataclasses.replace(model, image=None), tmp_path / "plain.egs")
    assert failure("run", tmp_path / "plain.egs", "--image", picture) == ("IMAGE_RECORD_MISSING", 3)


def npy(shape, data=b"", descr="'<f4'"):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


BAD_FILES = {
    "empty": (b"", "ARRAY_UNREADABLE"),
    "garbage": (b"no array at all", "ARRAY_UNREADABLE"),
    "short": (npy(SHAPE, b"\0" * 99), "ARRAY_UNREADABLE"),
    "long": (npy((1,), b"\0" * 99), "ARRAY_UNREADABLE"),
    "huge": (npy((10**6, 10**6, 10**6)), "ARRAY_UNREADABLE"),
    "overflow": (npy((2**32, 2**32)), "ARRAY_UNREADABLE"),
    "negative": (npy((-1,)), "ARRAY_UNREADABLE"),
    "pickle": (npy((1,), b"cos\nsystem\n(S'true'\ntR.", "'|O'"), "ARRAY_PICKLED"),
    "nested pickle": (npy((1,), b"cos\nsystem\n(S'true'\ntR.", "[('a', '|O')]"), "ARRAY_PICKLED"),
    "bad dtype": (npy((1,), b"\0" * 4, "'<f3'"), "ARRAY_UNREADABLE"),
    "code": (npy("__import__('os').getpid()"), "ARRAY_UNREADABLE"),
    "text": (npy((1,), b"\0" * 4, "'<U1'"), "INPUT_DTYPE"),
    "record": (npy((1,), b"\0" * 4, "[('a', '<f4')]"), "INPUT_DTYPE"),
    "other shape": (npy((1,), b"\0" * 4), "INPUT_RANK"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_array_files(failure, model_file, tmp_path, name):
    content, code = BAD_FILES[name]
    (tmp_path / "x.npy").write_bytes(content)
    assert failure("run", model_file, "--input", tmp_path / "x.npy") == (code, 3)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    assert failure("run", model_file, "--input", tmp_path / "x.npz") == (code, 3)


def test_bad_archives(failure, model_file, tmp_path, x):
    path = tmp_path / "x.npz"
    assert failure("run", model_file, "--input", path) == ("ARRAY_NOT_FOUND", 3)
    assert failure("run", model_file, "--input", tmp_path) == ("ARRAY_NOT_FOUND", 3)
    np.savez_compressed(path, x=x)
    data = path.read_bytes()
    for broken in (b"", b"PK\3\4", data[: len(data) // 2], data[:100] + b"\xff" * 50 + data[150:]):
        path.write_bytes(broken)
        assert failure("run", model_file, "--input", path) == ("ARRAY_UNREADABLE", 3)
    np.savez(path, y=x)
    assert failure("run", model_file, "--input", path) == ("INPUT_NAME", 3)


def test_inputs_that_do_not_fit(failure, model_file, x_file, x, tmp_path):
    np.save(tmp_path / "double.npy", x.astype(float))
    np.save(tmp_path / "batch.npy", np.repeat(x, 2, 0))
    assert failure("run", model_file, "--input", tmp_path / "double.npy") == ("INPUT_DTYPE", 3)
    assert failure("run", model_file, "--input", tmp_path / "batch.npy") == ("INPUT_BATCH", 3)
    assert failure("run", model_file, "--input", f"y={x_file}") == ("INPUT_NAME", 3)
    assert failure("run", model_file, "--input", f"x={x_file}", "--input", f"x={x_file}") == ("INPUT_NAME", 3)
    assert failure("run", model_file, "--input", x_file, "--input", x_file) == ("INPUT_COUNT", 3)
    assert failure("run", model_file, "--input", x_file, "--threads", 0) == ("THREADS_RANGE", 3)
    assert failure("run", model_file, "--input", x_file, "--plan", "decode") == ("PLAN_UNKNOWN", 3)
    assert failure("run", model_file, "--input", x_file, "--backend", "cuda") == ("BACKEND_UNKNOWN", 4)


def test_outputs_that_cannot_be_written(failure, two_inputs, model_file, x_file, tmp_path):
    run = ("run", model_file, "--input", x_file, "-o")
    existing = tmp_path / "y.npy"
    existing.write_bytes(b"precious")
    assert failure(*run, existing) == ("OUTPUT_EXISTS", 6)
    assert failure(*run, tmp_path) == ("OUTPUT_NOT_WRITABLE", 6)
    assert failure(*run, "/dev/null") == ("OUTPUT_NOT_WRITABLE", 6)
    assert failure(*run, tmp_path / "nowhere" / "y.npy") == ("OUTPUT_FOLDER_MISSING", 6)
    assert failure(*run, tmp_path / "y.txt") == ("OUTPUT_EXTENSION", 6)
    assert failure("run", two_inputs, "--input", x_file, "-o", tmp_path / "z.npy") == ("OUTPUT_EXTENSION", 6)
    assert existing.read_bytes() == b"precious"


def test_force_replaces_and_follows_links(cli, model_file, x_file, x, tmp_path):
    existing, link = tmp_path / "y.npy", tmp_path / "link.npy"
    existing.write_bytes(b"old")
    existing.chmod(0o640)
    link.symlink_to(existing)
    assert cli("run", model_file, "--input", x_file, "-o", link, "--force").code == 0
    assert link.is_symlink()
    assert existing.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(np.load(existing), load(model_file)(x))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "y.npy"
    path.write_bytes(b"precious")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises((OutputFileError, type(error))) as raised:
        write_atomically(path, write, overwrite=True)
    if isinstance(error, OSError):
        assert raised.value.code == "OUTPUT_DISK_FULL"
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["y.npy"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "y.npy"
    with pytest.raises(OutputFileError, match="OUTPUT_EXISTS"):
        write_atomically(path, lambda _file: path.write_bytes(b"theirs"), overwrite=False)
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["y.npy"]


def test_any_damaged_archive_is_a_typed_error(tmp_path, x):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=x[:, :, :2, :2])
    data = bytearray(path.read_bytes())
    codes = set()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        # Some bytes only hold the name, or when and by which tool the file was made; they damage nothing.
        try:
            read_arrays(path)
        except InputError as error:
            codes.add(error.code)
    assert codes == {"ARRAY_UNREADABLE"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on address space that holds")
@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("claim", ["arena", "state"])
def test_a_file_that_claims_more_memory_than_there_is(model_file, x_file, tmp_path, backend, claim):
    model = load(model_file).model
    if claim == "arena":
        model = dataclasses.replace(model, plans=(dataclasses.replace(model.plan(), arena_bytes=1 << 32),))
    else:
        model = dataclasses.replace(model, state_bytes=1 << 32)
    write_model(model, tmp_path / "greedy.egs")
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30));"
        "from edge_sparse.cli import main; sys.exit(main())"
    )
    words = ["run", tmp_path / "greedy.egs", "--input", x_file, "--backend", backend, "--json"]
    command = [sys.executable, "-c", program, *map(str, words)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 4, outcome.stderr
    (line,) = outcome.stderr.splitlines()
    error = json.loads(line)["error"]
    assert error["code"] == "MEMORY_EXHAUSTED"
    needed = int(re.search(r"needs (\d+) bytes", error["message"])[1])
    assert 1 << 32 < needed < (1 << 32) + (1 << 20)
