"""The package on ARM as users get it: the wheel for 64-bit ARM in an arm64 Python, under qemu.

The first run downloads an arm64 Debian (30 MB) and NumPy; both stay in the user's cache folder.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from arm_machine import ROOT

NUMPY = "2.4.6"
PACKAGES = [f"numpy=={NUMPY}", "pytest==8.4.2", "iniconfig", "packaging", "pluggy", "pygments"]
NUMBA = ["numba==0.68.1", "llvmlite==0.50.0"]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge_sparse" / f"arm64-bookworm-{NUMPY}-numba"


def run(*words, **options):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600, **options)


@pytest.fixture(scope="session")
def arm_root():
    """Return a folder with an arm64 Debian's files and one with Python packages; made once."""
    root, site = CACHE / "root", CACHE / "site"
    if not (CACHE / "complete").exists():
        if not shutil.which("mmdebstrap") or os.geteuid() != 0:
            pytest.skip("an arm64 Python needs mmdebstrap and root: apt-get install mmdebstrap")
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        bootstrap = ["mmdebstrap", "--quiet", "--skip=check/qemu", "--arch=arm64", "--variant=extract"]
        made = run(*bootstrap, "--include=python3,libstdc++6,libgomp1", "bookworm", root)
        if made.returncode:
            pytest.skip(f"mmdebstrap could not make an arm64 Debian: {made.stderr[-300:]}")
        platforms = ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux_2_27_aarch64"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", *platforms, "--python-version", "311"]
        run(*pip, "--only-binary=:all:", "--no-deps", "--target", site, *PACKAGES, check=True)
        run(*pip, "--only-binary=:all:", "--no-deps", "--target", CACHE / "numba", *NUMBA, check=True)
        (CACHE / "complete").touch()
    return root, site


@pytest.fixture(scope="session")
def arm_wheel(zig, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    script = ROOT / "kernels_arm" / "build_wheel.py"
    return Path(run(sys.executable, script, "--target", "aarch64", "-o", folder, check=True).stdout.strip())


@pytest.fixture(scope="session")
def arm_python(arm_root, arm_wheel, qemu, tmp_path_factory):
    """Return a function that runs an arm64 Python with the wheel installed."""
    root, site = arm_root
    installed, kernels = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("kernels")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--platform", "manylinux_2_28_aarch64"]
    run(
        *pip,
        "--only-binary=:all:",
        "--no-deps",
        "--python-version",
        "311",
        "--target",
        installed,
        arm_wheel,
        check=True,
    )
    base = {
        "PATH": os.environ["PATH"],
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": f"{installed}:{site}",
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def call(*arguments, cpu="cortex-a72", numba=False):
        python, environment = root / "usr" / "bin" / "python3.11", dict(base)
        if numba:
            # LLVM finds no features under qemu by itself.
            environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "+neon,+dotprod,+fullfp16,+lse"}
            environment["PYTHONPATH"] += f":{CACHE / 'numba'}"
            environment["EDGE_SPARSE_CACHE_DIR"] = str(kernels)
        return run(qemu, "-L", root, "-cpu", cpu, python, *arguments, env=environment, cwd=ROOT)

    return call


def test_the_wheel_says_for_what_it_is(arm_wheel):
    assert arm_wheel.name.endswith("-py3-none-manylinux_2_28_aarch64.whl")
    assert arm_wheel.stat().st_size < 1 << 20


@pytest.mark.parametrize(("cpu", "words"), [("cortex-a53", "NEON"), ("cortex-a76", "NEON, dot product")])
def test_the_native_backend_is_the_default(arm_python, cpu, words):
    script = "from edge_sparse.backends.base import available_backends as a; [print(k, v) for k, v in a().items()]"
    done = arm_python("-c", script, cpu=cpu)
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.splitlines()
    assert first.startswith("native")
    assert f"C kernels, {words}, " in first
    assert any(line.startswith("numba") and "pip install" in line for line in others)


#: The wheel has no plain C, qemu starts no second ARM program, its threads end in a fork, and Numba is not there.
LEFT_OUT = "not scalar and not avx2 and not fork and not library_is_told and not default_backend"


@pytest.mark.parametrize(
    ("cpu", "files", "words"),
    [
        ("cortex-a53", ["tests/vectors/test_vectors.py", "tests/backends/native/test_native_program.py"], "native"),
        ("cortex-a76", ["tests/backends/native/test_integer_products.py"], "dotprod"),
    ],
)
def test_the_runtime_tests_pass(arm_python, cpu, files, words):
    done = arm_python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"({words}) and {LEFT_OUT}", *files), cpu=cpu
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    last = done.stdout.splitlines()[-1]
    assert "passed" in last
    assert "skipped" not in last


def test_numba_kernels_run_on_arm(arm_python):
    # Compiling for two networks takes half a minute here; all vectors take four.
    chosen = "numba and valid_files_compute and (network_chw or network_nhwc)"
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, "tests/vectors/test_vectors.py")
    done = arm_python(*words, cpu="cortex-a76", numba=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "2 passed" in done.stdout


def test_the_command_line(arm_python):
    path = ROOT / "tests" / "vectors" / "valid" / "network_chw.egs"
    done = arm_python("-m", "edge_sparse", "bench", path, "-r", "2", "--warmup", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert '"backend": "native"' in done.stdout
