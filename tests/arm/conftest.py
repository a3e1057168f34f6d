"""What the tests on ARM need: zig, qemu's processors, programs for both machines. Each is a reason to skip."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from arm_machine import Machine, build


def _needed(found, name, how):
    if not found:
        pytest.skip(f"{name} is not installed: {how}")
    return found


@pytest.fixture(scope="session")
def zig():
    _needed(importlib.util.find_spec("ziglang"), "zig", "pip install ziglang")


@pytest.fixture(scope="session")
def qemu():
    return _needed(shutil.which("qemu-aarch64"), "qemu-aarch64", "apt-get install qemu-user")


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory):
    # Compiling everything takes two minutes; a folder that stays takes the seconds of what changed.
    kept = os.environ.get("EDGE_SPARSE_TEST_BUILDS")
    return Path(kept) if kept else tmp_path_factory.mktemp("native-build")


@pytest.fixture(scope="session")
def programs(zig, build_folder):
    """Return a function from a zig target to its machine, whose programs are built once."""
    machines = {}

    def of(target, cpu=""):
        if target not in machines:
            paths = [build.program(name, target, "zig", build_folder / target) for name in ("replay", "cli")]
            machines[target] = paths
        runner = []
        if target.startswith("aarch64"):
            found = _needed(shutil.which("qemu-aarch64"), "qemu-aarch64", "apt-get install qemu-user")
            runner = [found, "-cpu", cpu or "cortex-a72"]
        return Machine(runner, *machines[target])

    return of


@pytest.fixture(scope="session")
def arm_library(zig, build_folder):
    return build.shared_library("aarch64-linux-gnu.2.28", "zig", build_folder / "aarch64-gnu", [build.RELEASE])


@pytest.fixture(scope="session")
def host_library(zig, build_folder):
    return build.shared_library("x86_64-linux-gnu.2.28", "zig", build_folder / "x86_64-gnu", [build.RELEASE])
