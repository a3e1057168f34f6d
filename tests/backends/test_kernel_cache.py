"""The cache knows kernels by name and source files: emitters run on a miss only, no name stands for two codes."""

import ast
import ctypes
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import edge_sparse.backends.numba
from edge_sparse.backends.numba import compiler as compiler_module
from edge_sparse.backends.numba import scalar_kernels, sources
from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.driver import emit_waiter
from edge_sparse.backends.numba.dwconv_chw import DwconvChw
from edge_sparse.backends.numba.dwconv_nhwc import DwconvNhwc
from edge_sparse.backends.numba.elementwise import ElementwiseKernel
from edge_sparse.backends.numba.mean import MeanChw, MeanNhwc
from edge_sparse.backends.numba.phase_split import PhaseSplit
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.sources import sources_behind
from edge_sparse.backends.numba.spmm_chw import SpmmChw
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.backends.numba.spmm_nhwc import SpmmNhwc
from edge_sparse.backends.numba.target import host_target
from edge_sparse.plan import Activation, Op

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
FOLDER = Path(edge_sparse.backends.numba.__file__).parent
CLAMP = Epilogue(activation=Activation.CLAMP, clamp_high=6.0)
EMITTERS = [
    SpmmChw(8, 2, True, CLAMP, 4),
    SpmmNhwc(16, 3, True, CLAMP, 4, 2, 32),
    DwconvChw((3, 3), (1, 1), (1, 1), 8, 8, 2, 4, CLAMP),
    DwconvNhwc((3, 3), (1, 1), (1, 1), 8, 8, 8, 8, 8, 2, 4, 4, 4, CLAMP),
    ElementwiseKernel(Op.ADD, False, CLAMP),
    MeanChw(8, 3, 5, True),
    MeanNhwc(8, 3, 5, 4),
    PhaseSplit(3, 8, 8, 2, 5, 5),
]


def text_of(emitter):
    builder = KernelBuilder(host_target(), "kernel")
    emitter.emit(builder)
    return builder.finish()


def other_values(value):
    """Return values that a field could have instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, Op):
        return [Op.MUL, Op.ACTIVATION]
    if isinstance(value, Activation):
        return [kind for kind in Activation if kind is not value]
    if isinstance(value, tuple):
        return [(value[0] + 1, value[1]), (value[0], value[1] + 1)]
    if isinstance(value, Epilogue):
        return [changed for _, changed in variants(value)]
    return [value + 1, value * 2] if value else [0.5, -0.0]


def variants(record):
    for field in dataclasses.fields(record):
        for value in other_values(getattr(record, field.name)):
            yield field.name, dataclasses.replace(record, **{field.name: value})


@pytest.mark.parametrize("emitter", EMITTERS, ids=lambda emitter: type(emitter).__name__)
def test_names_tell_everything_that_the_code_depends_on(emitter):
    codes = {emitter.name: text_of(emitter)}
    for field, changed in variants(emitter):
        text = text_of(changed)
        assert codes.setdefault(changed.name, text) == text, field
    assert len(set(codes.values())) > 1


def test_the_emitter_runs_on_a_miss_only(tmp_path, monkeypatch):
    for _ in range(2):
        compiler = KernelCompiler(cache=ObjectCache(tmp_path))
        names = [compiler.emit(emitter.name, emitter.emit) for emitter in EMITTERS]
        names += [compiler.emit("wait", emit_waiter), compiler.python(scalar_kernels.softmax_f32)]
        compiler.load()
        assert all(compiler.address(name) for name in names)
        # Only the first round may write code.
        monkeypatch.setattr(compiler_module, "KernelBuilder", None)
    assert compiler.compiled == 0


def test_other_sources_and_other_targets_are_other_entries(tmp_path, monkeypatch):
    def compiled(target=None):
        compiler = KernelCompiler(target, ObjectCache(tmp_path))
        compiler.emit("wait", emit_waiter)
        return compiler.compiled

    assert [compiled(), compiled()] == [1, 0]
    assert compiled(dataclasses.replace(host_target(), registers=7)) == 1
    monkeypatch.setattr(sources, "_DIGEST", "edited")
    assert [compiled(), compiled()] == [1, 0]


def test_a_damaged_entry_is_compiled_again(tmp_path):
    for damage in (lambda data: data[:-1], lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], lambda _: b""):
        KernelCompiler(cache=ObjectCache(tmp_path)).emit("wait", emit_waiter)
        (entry,) = tmp_path.glob("*.o")
        entry.write_bytes(damage(entry.read_bytes()))
        compiler = KernelCompiler(cache=ObjectCache(tmp_path))
        compiler.emit("wait", emit_waiter)
        assert compiler.compiled == 1


def test_code_from_elsewhere_is_known_by_its_text(tmp_path):
    class Twice(ElementwiseKernel):
        pass

    assert sources_behind(emit_waiter) == sources_behind(EMITTERS[0].emit) != ""
    assert sources_behind(Twice(Op.ADD, False, CLAMP).emit) == ""
    for number in (1, 2):
        compiler = KernelCompiler(cache=ObjectCache(tmp_path))
        compiler.emit("same_name", lambda k, number=number: k.b.store(k.integer(number), k.args))
        compiler.load()
        table = np.zeros(1, np.int64)
        KERNEL(compiler.address("same_name"))(table.ctypes.data, 0, 1)
        assert table[0] == number


def test_no_other_module_decides_the_code():
    modules = set()
    for path in FOLDER.glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    elsewhere = {
        name for name in modules if name.startswith("edge_sparse") and not name.startswith("edge_sparse.backends.numba")
    }
    # These make errors, lists of choices and arrays of weights, no code.
    elsewhere -= {"edge_sparse.errors", "edge_sparse.backends.base", "edge_sparse.backends.run_checks"}
    assert {name for name in elsewhere if not name.startswith("edge_sparse.format")} == {
        "edge_sparse",
        "edge_sparse.plan",
    }
