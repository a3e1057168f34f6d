"""The program edge-sparse in C, static, here and under qemu: results of the Python program, errors with its codes."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest
from arm_machine import ROOT, build

import edge_sparse as es
from edge_sparse.format.reader import read_model

HOST, ARM = "x86_64-linux-musl", "aarch64-linux-musl"
VECTORS = ROOT / "tests" / "vectors"
NETWORK = VECTORS / "valid" / "network_chw.egs"
machines = pytest.mark.parametrize("target", [HOST, ARM])


def write_pgm(path, pixels):
    height, width = pixels.shape
    path.write_bytes(b"P5\n# a comment\n%d %d\n255\n" % (width, height) + pixels.tobytes())


@machines
def test_help_teaches(target, programs):
    machine = programs(target)
    done = machine.program("--help", text=True)
    assert done.returncode == 0
    assert "exit codes" in done.stdout
    for command in ("run", "bench", "generate", "inspect", "devices"):
        assert command in done.stdout
        own = machine.program(command, "--help", text=True)
        assert own.returncode == 0
        assert own.stdout.startswith(f"usage: edge-sparse {command}")
    assert machine.program("--version", text=True).stdout.startswith(f"edge-sparse {es.__version__} ")


def test_the_program_is_small_and_static(zig, build_folder):
    from elftools.elf.elffile import ELFFile

    path = build.program("cli", ARM, "zig", build_folder / ARM / "release", [build.RELEASE])
    assert path.stat().st_size < 470 * 1024
    with path.open("rb") as file:
        assert not any(s["p_type"] == "PT_INTERP" for s in ELFFile(file).iter_segments())


@machines
def test_run_computes_what_python_computes(target, programs, tmp_path):
    session = es.load(NETWORK, backend="reference")
    x = session.random_inputs(1)
    expected = session.run(x)
    words = []
    for name, array in x.items():
        np.save(tmp_path / f"{name}.npy", array)
        words += ["--input", f"{name}={tmp_path / name}.npy"]
    machine = programs(target)
    done = machine.program("run", NETWORK, *words, "--json", text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.reshape(-1), rtol=1e-4, atol=1e-5)
    done = machine.program("run", NETWORK, *words, "-o", tmp_path / "y.npy", text=True)
    assert done.returncode == 0, done.stderr
    first = session.outputs[0].name
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected[first], rtol=1e-4, atol=1e-5)
    again = machine.program("run", NETWORK, *words, "-o", tmp_path / "y.npy", text=True)
    assert again.returncode == 6
    assert "OUTPUT_NOT_WRITABLE" in again.stderr
    text = machine.program("run", NETWORK, *words, text=True).stdout
    assert f"{first}: {expected[first].size} numbers from" in text


@machines
def test_pictures_get_the_labels_of_python(target, programs, digits, tmp_path):
    path, _ = digits
    record = read_model(path).image
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (3 * record.height, 2 * record.width), np.uint8)
    write_pgm(tmp_path / "x.pgm", pixels)
    expected = es.load(path, backend="reference").classify(pixels, top=3)
    done = programs(target).program("run", path, "--image", tmp_path / "x.pgm", "--top", "3", "--json", text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["label"] for row in found] == [label for label, _ in expected]
    np.testing.assert_allclose([row["probability"] for row in found], [p for _, p in expected], rtol=1e-3)
    shown = programs(target).program("run", path, "--image", tmp_path / "x.pgm", text=True).stdout
    assert len(shown.splitlines()) == 5


@pytest.mark.parametrize("options", [{}, {"attention": "delta"}, {"cache": "f32"}])
@machines
def test_generate_writes_the_text_of_python(target, options, programs, shakespeare):
    path = shakespeare("f32")
    model = es.llm.load(path, backend="reference", **options)
    expected = model.generate("ROMEO:\n", max_tokens=12, temperature=0).text
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    machine = programs(target)
    done = machine.program("generate", path, "-p", "ROMEO:\n", "-n", "12", "--temperature", "0", *words, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected + "\n"
    assert "tokens read" in done.stderr
    document = machine.program(
        *("generate", path, "-p", "ROMEO:\n", "-n", "12", "--temperature=0", "--json", *words), text=True
    )
    result = json.loads(document.stdout)
    assert (result["text"], result["generated_tokens"]) == (expected, 12)


def test_ctrl_c_ends_an_answer(programs, shakespeare):
    machine = programs(HOST)
    words = [machine.command, "generate", shakespeare("f32"), "-p", "ROMEO:", "--roll"]
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    end = time.monotonic() + 30
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() < end
    assert process.returncode == 0
    assert "(cancelled)" in errors


@machines
def test_bench_inspect_and_devices(target, programs):
    machine = programs(target)
    done = machine.program("bench", NETWORK, "-t", "1,2", "-r", "3", "--steps", "--json", text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    steps = read_model(NETWORK).plans[0].steps
    assert [timing["threads"] for timing in report["timings"]] == [1, 2]
    for timing in report["timings"]:
        assert 0 < timing["seconds_min"] <= timing["seconds_median"]
        assert [step["step"] for step in timing["steps"]] == [step.name for step in steps]
    assert "thread(s): min" in machine.program("bench", NETWORK, "-r", "2", "--steps", text=True).stdout
    document = json.loads(machine.program("inspect", NETWORK, "--json", text=True).stdout)
    assert [step["step"] for step in document["plans"][0]["steps"]] == [step.name for step in steps]
    assert "input" in machine.program("inspect", NETWORK, text=True).stdout
    names = json.loads(machine.program("devices", "--json", text=True).stdout)["variants"]
    assert names[:2] == ["scalar", "vector"]


def test_bench_decode(programs, shakespeare):
    machine = programs(HOST)
    done = machine.program("bench", shakespeare("f32"), "--decode", "-r", "3", "--depth", "5", text=True)
    assert done.returncode == 0, done.stderr
    assert "tokens/s" in done.stdout


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["fly"], 3, "USAGE"),
        (["run"], 3, "USAGE"),
        (["run", NETWORK], 3, "USAGE"),
        (["run", NETWORK, "--threads", "0", "-i", "x.npy"], 3, "USAGE"),
        (["run", NETWORK, "--frobnicate"], 3, "USAGE"),
        (["run", NETWORK, "-i"], 3, "USAGE"),
        (["run", NETWORK, "-i", "nothing.npy"], 3, "INPUT_UNREADABLE"),
        (["run", NETWORK, "-i", "none=nothing.npy"], 3, "INPUT_NAME"),
        (["run", NETWORK, "-i", NETWORK], 3, "INPUT_TYPE"),
        (["run", NETWORK, "--plan", "none", "-i", "x.npy"], 3, "PLAN_UNKNOWN"),
        (["run", NETWORK, "--image", NETWORK], 3, "IMAGE_TYPE"),
        (["run", "nothing.egs", "-i", "x.npy"], 2, "FILE_NOT_FOUND"),
        (["inspect", VECTORS / "valid" / "network_chw.npz"], 2, "FILE_MAGIC"),
        (["generate", NETWORK, "-p", "x"], 3, "NO_LANGUAGE_MODEL"),
        (["generate", NETWORK, "--attention", "half"], 3, "ATTENTION_UNKNOWN"),
        (["bench", NETWORK, "-t", "1,x"], 3, "THREADS_RANGE"),
        (["bench", NETWORK, "-r", "1e3"], 3, "USAGE"),
    ],
)
def test_errors_have_the_codes_of_python(words, exit_code, code, programs):
    machine = programs(HOST)
    done = machine.program(*words, text=True)
    assert done.returncode == exit_code, done.stderr
    assert done.stderr.startswith(f"error [{code}]: ")
    assert "\nnext step: " in done.stderr
    as_json = machine.program(*words, "--json", text=True)
    if words[-1] != "-i":
        assert (as_json.returncode, as_json.stdout) == (exit_code, "")
        assert json.loads(as_json.stderr.splitlines()[-1])["error"]["code"] == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda x: x[:, :, :-1], "INPUT_SHAPE"),
        (lambda x: x[0], "INPUT_RANK"),
        (lambda x: x[None], "INPUT_RANK"),
        (lambda x: x.astype(np.float64), "INPUT_DTYPE"),
        (np.asfortranarray, "INPUT_NOT_CONTIGUOUS"),
    ],
)
def test_arrays_that_do_not_fit(change, code, programs, tmp_path):
    session = es.load(NETWORK, backend="reference")
    ((name, x),) = session.random_inputs().items()
    np.save(tmp_path / "x.npy", change(x))
    done = programs(HOST).program("run", NETWORK, "-i", f"{name}={tmp_path / 'x.npy'}", text=True)
    assert done.returncode == 3
    assert f"[{code}]" in done.stderr


def test_damaged_arrays_and_pictures(programs, tmp_path):
    session = es.load(NETWORK, backend="reference")
    np.save(tmp_path / "x.npy", next(iter(session.random_inputs().values())))
    data = (tmp_path / "x.npy").read_bytes()
    for cut in (*range(0, 130, 7), len(data) - 1):
        (tmp_path / "cut.npy").write_bytes(data[:cut])
        done = programs(HOST).program("run", NETWORK, "-i", tmp_path / "cut.npy", text=True)
        assert done.returncode == 3, cut
    picture = b"P6 3 2 255\n" + bytes(18)
    for cut in range(len(picture)):
        (tmp_path / "cut.ppm").write_bytes(picture[:cut])
        done = programs(HOST).program("run", NETWORK, "--image", tmp_path / "cut.ppm", text=True)
        assert done.returncode == 3, cut
        assert "IMAGE_TYPE" in done.stderr
