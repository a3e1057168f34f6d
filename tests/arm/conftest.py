"""What the tests on ARM need: zig, qemu's processors, programs for both machines. Each is a reason to skip."""

import pytest
from arm_machine import Machine, build


@pytest.fixture(scope="session")
def programs(zig, build_folder, request):
    """Return a function from a zig target to its machine, whose programs are built once."""
    machines = {}

    def of(target, cpu=""):
        if target not in machines:
            paths = [build.program(name, target, "zig", build_folder / target) for name in ("replay", "cli")]
            machines[target] = paths
        runner = []
        if target.startswith("aarch64"):
            runner = [request.getfixturevalue("qemu"), "-cpu", cpu or "cortex-a72"]
        return Machine(runner, *machines[target])

    return of


@pytest.fixture(scope="session")
def arm_library(zig, build_folder):
    return build.shared_library("aarch64-linux-gnu.2.28", "zig", build_folder / "aarch64-gnu", [build.RELEASE])


@pytest.fixture(scope="session")
def host_library(zig, build_folder):
    return build.shared_library("x86_64-linux-gnu.2.28", "zig", build_folder / "x86_64-gnu", [build.RELEASE])
