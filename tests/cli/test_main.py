"""What all commands share: help, version, exit codes, signals, pipes, full disks."""

import json
import os
import signal
import subprocess
import sys

import pytest

from edge_sparse import __version__
from edge_sparse.cli.program import COMMANDS

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


def test_version_and_help_of_everything(cli):
    assert cli("--version").out == f"edge-sparse {__version__}\n"
    top = cli("--help")
    assert top.code == 0
    for name in NAMES:
        assert name in top.out
        outcome = cli(name, "--help")
        assert outcome.code == 0
        assert "examples" in outcome.out
        assert f"edge-sparse {name} " in outcome.out


def test_every_command_of_the_requirements_is_there():
    image = {"convert", "inspect", "validate", "run", "bench", "devices"}
    assert set(NAMES) == image | {"generate", "chat", "perplexity", "demo"}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["inspect"],
        ["run", "m.egs"],
        ["run", "m.egs", "--input", "x.npy", "--image", "y.png"],
        ["bench", "m.egs", "-t", "one"],
        ["bench", "m.egs", "-t", "1,1"],
        ["inspect", "m.egs", "--unknown"],
        ["convert", "m.pt2"],
    ],
)
def test_wrong_usage(failure, words):
    assert failure(*words) == ("USAGE", 3)


@pytest.mark.parametrize("command", [["inspect"], ["validate"], ["bench"], ["run", "--input", "x.npy"]])
def test_model_files_that_are_none(cli, tmp_path, command):
    garbage, empty, folder = tmp_path / "garbage.egs", tmp_path / "empty.egs", tmp_path / "folder.egs"
    garbage.write_bytes(b"not a model" * 100)
    empty.write_bytes(b"")
    folder.mkdir()
    for path in (garbage, empty, folder, tmp_path / "missing.egs"):
        name, *rest = command
        outcome = cli(name, path, *rest)
        assert outcome.code == 2, outcome
        assert "[" in outcome.err + outcome.out
        assert "Traceback" not in outcome.err


def test_model_files_without_permission(failure, model_file, monkeypatch):
    # Permission bits do not stop the superuser, so the refusal itself is played.
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edge_sparse.format.reader.open", refuse, raising=False)
    assert failure("inspect", model_file) == ("FILE_UNREADABLE", 2)


def test_debug_shows_the_traceback(cli, tmp_path):
    outcome = cli("inspect", tmp_path / "missing.egs", "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert "error [" in outcome.err


def test_a_bug_is_told_as_one(cli, model_file, monkeypatch):
    monkeypatch.setattr("edge_sparse.cli.inspect.summarise", lambda *_: 1 / 0)
    outcome = cli("inspect", model_file)
    assert outcome.code == 1
    assert "error [INTERNAL]: ZeroDivisionError" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_reader_that_goes_away_is_no_error(process, model_file):
    read, write = os.pipe()
    os.close(read)
    with process("inspect", model_file, "--json", stdout=write) as running:
        os.close(write)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 141
    assert err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["devices"], ["devices", "--json"]])
def test_a_full_disk_behind_stdout(process, words):
    with open("/dev/full", "w") as full, process(*words, stdout=full) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 6
    assert "OUTPUT_NOT_WRITABLE" in err
    assert "Exception ignored" not in err


def test_interrupts_end_quietly(process, model_file):
    with process("bench", model_file, "-r", 10**8) as running:
        assert "thread" in running.stderr.readline() + running.stderr.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert not out


@pytest.mark.parametrize("module", ["argparse", "numpy", "edge_sparse.cli.bench", "edge_sparse.session"])
@pytest.mark.parametrize(
    "start",
    [
        "import runpy; runpy.run_module('edge_sparse', run_name='__main__')",
        "from edge_sparse.cli import main; sys.exit(main())",
    ],
)
def test_interrupts_while_importing_end_quietly(module, start):
    program = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        f"sys.modules.pop({module!r}, None)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"{start}\n"
    )
    command = [sys.executable, "-c", program, "devices"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (130, "", "interrupted\n")


def test_terminals_that_know_ascii_only(process, model_file):
    with process("inspect", model_file, environment={"PYTHONIOENCODING": "ascii"}) as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "small.egs" in out


def without(*modules):
    """A program that runs the command line as if these modules were not installed."""
    return (
        "import sys, importlib.util\n"
        f"missing = {modules!r}\n"
        "sys.modules.update(dict.fromkeys(missing))\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in missing else find(name, *rest)\n"
        "from edge_sparse.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )


def test_inspecting_needs_numpy_alone(model_file):
    program = without("rich", "numba", "llvmlite", "torch", "PIL", "jinja2")
    for words in (["inspect", model_file], ["validate", model_file], ["devices"]):
        command = [sys.executable, "-c", program, *map(str, words)]
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert outcome.returncode == 0, outcome.stderr
        assert outcome.stdout
    assert "pip install 'edge_sparse[jit]'" in outcome.stdout


def test_missing_extras_are_named_with_their_command(model_file, tmp_path, x):
    picture = tmp_path / "x.png"
    picture.write_bytes(b"")
    numba = ["bench", model_file, "--backend", "numba"]
    for words, extra in [(["run", model_file, "--image", picture], "image"), (numba, "jit")]:
        missing = {"image": ("PIL",), "jit": ("numba", "llvmlite")}[extra]
        command = [sys.executable, "-c", without(*missing), *map(str, words), "--json"]
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert outcome.returncode == 4, outcome.stderr
        assert f"edge_sparse[{extra}]" in json.loads(outcome.stderr)["error"]["hint"]


def test_tables_are_drawn_on_terminals_with_rich_only(process, model_file):
    pytest.importorskip("rich", reason="needs rich: edge_sparse[cli]")
    pty = pytest.importorskip("pty", reason="needs terminals")
    master, slave = pty.openpty()
    with process("inspect", model_file, stdout=slave, stderr=slave, environment={"TERM": "xterm"}) as running:
        os.close(slave)
        drawn = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:
                break
            if not block:
                break
            drawn += block
    os.close(master)
    assert running.returncode == 0
    assert "━" in drawn.decode()
