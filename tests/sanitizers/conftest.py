"""What the tests with clang's sanitizers and valgrind need; each is a reason to skip."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "arm"))

from arm_machine import Machine, build  # noqa: E402


@pytest.fixture(scope="session")
def fuzz():
    """Return the script that builds with sanitizers."""
    # It imports build.py, as which setuptools' folder of products passes too.
    sys.modules.setdefault("build", build)
    spec = importlib.util.spec_from_file_location("edge_sparse_fuzz", ROOT / "kernels_arm" / "fuzz" / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def clang(fuzz, tmp_path_factory):
    folder, compiler = tmp_path_factory.mktemp("clang"), fuzz.compiler()
    if not compiler:
        pytest.skip("clang is not installed: apt-get install clang")
    # Debian has the sanitizers in a package of their own.
    source = folder / "nothing.c"
    source.write_text("int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }")
    words = [compiler, "-fsanitize=fuzzer,address,undefined", str(source), "-o", str(folder / "nothing")]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("clang has no sanitizers: apt-get install libclang-rt-dev")
    return compiler


@pytest.fixture(scope="session")
def sanitized(fuzz, clang, build_folder):
    """Return a machine whose replay is built with the address and undefined behaviour sanitizers."""
    return Machine([], fuzz.build_replay(clang, build_folder / "sanitizers"), Path())


@pytest.fixture(scope="session")
def memcheck(fuzz, build_folder):
    """Return a machine that runs replay in valgrind."""
    valgrind, compiler = shutil.which("valgrind"), shutil.which("gcc") or fuzz.compiler()
    if not valgrind or not compiler:
        pytest.skip("valgrind or a compiler is not installed: apt-get install valgrind gcc")
    program = build.program("replay", "", compiler, build_folder / "memcheck")
    return Machine(
        [valgrind, "-q", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"], program, Path()
    )
