"""Promises about the package itself."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edge_sparse

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(edge_sparse.__file__).parent


def test_import_loads_no_compiler_and_no_torch():
    script = (
        "import sys, edge_sparse, edge_sparse.cli, edge_sparse.format.packing;"
        "print([m for m in ('torch', 'numba', 'llvmlite', 'rich', 'edge_sparse.converters') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert output.stdout.strip() == "[]"


def test_all_public_names_are_there():
    script = (
        "import sys, edge_sparse;"
        "assert 'numpy' not in sys.modules;"
        "assert set(edge_sparse.__all__) <= set(dir(edge_sparse));"
        "from edge_sparse import *;"
        "print(Model.__module__, Session.__module__, load.__module__, inspect.__module__, validate.__module__)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    names = ("plan", "session", "session", "summary", "validation")
    assert output.stdout.split() == [f"edge_sparse.{name}" for name in names]
    with pytest.raises(AttributeError, match="nothing"):
        edge_sparse.nothing  # noqa: B018


#: The public ``convert`` and the command line reach the converter when they are called, never when they are imported.
ENTRY_POINTS = ("__init__.py", "cli")


def _imported(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return names


def _without_functions(tree: ast.Module) -> ast.Module:
    tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    return tree


def test_runtime_never_imports_converters_or_torch():
    sources = [path for path in PACKAGE.rglob("*.py") if "converters" not in path.relative_to(PACKAGE).parts]
    assert len(sources) > 10
    for path in sources:
        tree = ast.parse(path.read_text())
        if path.relative_to(PACKAGE).parts[0] in ENTRY_POINTS:
            tree = _without_functions(tree)
        for name in _imported(tree):
            assert not name.startswith(("torch", "edge_sparse.converters")), f"{path} imports {name}"


def test_every_operation_has_a_signature_that_fits_a_step_record():
    from edge_sparse.format.ops import OPS
    from edge_sparse.plan import Op

    assert set(OPS) == set(Op)
    for spec in OPS.values():
        assert 0 < spec.required_inputs <= len(spec.inputs) <= 8
        names = [name for name, _ in spec.attributes]
        assert len(names) == len(set(names)) <= 16
        assert {kind for _, kind in spec.attributes} <= {"i", "f"}


def test_the_installed_package_holds_runtime_and_converters():
    from edge_sparse.converters import lower, pruning

    assert Path(lower.__file__).parent == Path(pruning.__file__).parent.parent
    assert {"backends", "format", "plan.py", "py.typed"} <= {path.name for path in PACKAGE.iterdir()}


@pytest.mark.parametrize("words", [["build.py", "--target", "aarch64-linux-musl"], ["jni/build_aar.py"]])
def test_code_for_other_machines_asks_for_zig(words, tmp_path):
    script, *options = words
    # -S: a Python without packages.
    command = [sys.executable, "-S", str(ROOT / "kernels_arm" / script), *options, "-o", str(tmp_path / "out")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert outcome.returncode == 2
    assert "pip install ziglang" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_without_a_compiler_a_wheel_has_all_but_the_library(tmp_path):
    script = (
        "import importlib.util as u, runpy;"
        "found = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name == 'ziglang' else found(name, *rest);"
        "runpy.run_path('setup.py', run_name='__main__')"
    )
    folders = ["egg_info", "--egg-base", str(tmp_path), "build", "--build-base", str(tmp_path / "build")]
    wheel = ["bdist_wheel", "--bdist-dir", str(tmp_path / "wheel"), "--dist-dir", str(tmp_path / "dist")]
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "PATH")}
    outcome = subprocess.run(
        [sys.executable, "-c", script, "-q", *folders, *wheel],
        cwd=ROOT,
        env=environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stderr[-1000:]
    assert "the native backend is left out" in outcome.stdout + outcome.stderr
    (made,) = (tmp_path / "dist").iterdir()
    assert made.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(made) as files:
        names = files.namelist()
    assert "edge_sparse/backends/native/library.py" in names
    assert not [name for name in names if "libedge_sparse" in name]
