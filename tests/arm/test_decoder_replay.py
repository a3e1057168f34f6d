"""Attention of all caches, heads and runs under qemu's processors, where NEON's own instructions are used."""

import sys

import numpy as np
import pytest
from arm_machine import ROOT

sys.path.append(str(ROOT / "tests" / "backends"))
sys.path.append(str(ROOT / "tests" / "backends" / "native"))
from test_decoder_kernels import attention_inputs, attention_model, error
from test_delta_attention import delta_model, sequence

from edge_sparse import Session
from edge_sparse.format.writer import write_model
from edge_sparse.plan import DType

SCALAR, NEON = 1, 2
processors = pytest.mark.parametrize(("cpu", "variants"), [("cortex-a53", SCALAR), ("cortex-a53", NEON), ("max", NEON)])


def agree(machine, model, runs, variants, folder):
    path = folder / "model.egs"
    write_model(model, path, overwrite=True)
    with Session.from_model(model, backend="reference") as session:
        expected = [session.run(inputs) for inputs in runs]
    results, kernels = machine.replay(model, path, runs, folder, variants=variants, threads=2)
    assert all(name.endswith("neon" if variants == NEON else "scalar") for name in kernels)
    for found, wanted in zip(results, expected, strict=True):
        assert error(found["y"], wanted["y"]) < 1e-5


@processors
@pytest.mark.parametrize("cache", [DType.F32, DType.F16, DType.S8])
def test_attention(cache, cpu, variants, programs, tmp_path):
    machine = programs("aarch64-linux-musl", cpu)
    for head_dim, kv_heads, group in ((1, 2, 3), (5, 1, 4), (8, 2, 1), (20, 1, 7), (64, 2, 4), (130, 1, 2)):
        model, position, runs = attention_model(kv_heads, group, head_dim, cache), 0, []
        for tokens in (1, 1, 13, 1, 24, 1, 8):
            runs.append(attention_inputs(model, tokens, position))
            position += tokens
        agree(machine, model, runs, variants, tmp_path)


@processors
@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
def test_delta_attention(dtype, cpu, variants, programs, tmp_path):
    machine = programs("aarch64-linux-musl", cpu)
    for head_dim in (1, 5, 8, 33, 64, 130):
        arrays, runs = sequence(40, head_dim), []
        for position, tokens in ((0, 8), (8, 8), (16, 1), (17, 1), (18, 5), (23, 7), (11, 6), (17, 8)):
            part = {name: array[position : position + tokens] for name, array in zip("qkv", arrays, strict=True)}
            runs.append({**part, "position": np.array([position, 5], np.int32)})
        agree(machine, delta_model(head_dim, theta=0.6, sinks=2, dtype=dtype), runs, variants, tmp_path)
