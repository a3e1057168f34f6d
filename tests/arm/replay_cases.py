"""What replay must compute on any machine: every valid vector and the shipped models."""

import numpy as np
from arm_machine import ROOT

from edge_sparse import Session
from edge_sparse.format.reader import read_model

VALID = sorted((ROOT / "tests" / "vectors" / "valid").glob("*.egs"))


def vectors(path):
    """Return {plan: [(inputs, outputs), ...]} of a valid vector."""
    runs = {}
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        for name in stored.files:
            plan, run, side, tensor = name.split("/", 3)
            pair = runs.setdefault(plan, {}).setdefault(int(run), ({}, {}))
            pair[side == "out"][tensor] = stored[name]
    return {plan: [pairs[number] for number in sorted(pairs)] for plan, pairs in runs.items()}


def error(found, expected):
    """Return the error's root mean square over the result's."""
    expected = expected.astype(np.float64)
    return np.sqrt(((found - expected) ** 2).mean() / max((expected**2).mean(), 1e-30))


def check_vector(machine, path, folder, variants, threads):
    model = read_model(path)
    for plan, pairs in vectors(path).items():
        inputs = [given for given, _ in pairs]
        results, kernels = machine.replay(model, path, inputs, folder, plan, variants, threads)
        assert len(kernels) == len(model.plan(plan).steps)
        for found, (_, expected) in zip(results, pairs, strict=True):
            for name, value in expected.items():
                assert found[name].dtype == value.dtype
                if value.dtype.kind == "f":
                    assert error(found[name].reshape(value.shape), value) < 1e-5
                else:
                    np.testing.assert_array_equal(found[name].reshape(value.shape), value)


def check_digits(machine, digits, folder, variants, threads):
    """Return the kernels that ran."""
    path, images = digits
    model = read_model(path)
    name = model.plans[0].tensors[model.plans[0].inputs[0]].name
    runs = [{name: image[None]} for image in images]
    with Session.from_model(model, backend="reference") as session:
        expected = [session.run(inputs) for inputs in runs]
    results, kernels = machine.replay(model, path, runs, folder, "", variants, threads)
    for found, wanted in zip(results, expected, strict=True):
        for output, value in wanted.items():
            assert error(found[output], value) < 1e-5
    return kernels


def check_shakespeare(machine, path, dtype, folder, variants, threads):
    """Return the kernels that ran."""
    model = read_model(path)
    runs, position = [], 0
    for tokens in ([1, 20, 30, 4, 55], [7], [77]):
        runs.append(_decode_inputs(model, tokens, position))
        position += len(tokens)
    with Session.from_model(model, backend="reference") as session:
        expected = [session.run(inputs) for inputs in runs]
    results, kernels = machine.replay(model, path, runs, folder, "", variants, threads)
    (output,) = expected[0]
    errors = [error(y[output].reshape(z[output].shape), z[output]) for y, z in zip(results, expected, strict=True)]
    # An activation on the edge between two integers may fall to either side. It does in the third run with s8 values,
    # where all fast backends agree to 1e-6. A wrong kernel misses all runs.
    assert max(errors) < (1e-5 if dtype == "f32" else 2e-2)
    assert sorted(errors)[1] < 1e-5
    return kernels


def _decode_inputs(model, tokens, position):
    """Return the inputs of a run: token ids for the symbolic one, the position for the other."""
    plan = model.plans[0]
    ports = [plan.tensors[number] for number in plan.inputs]
    assert len(ports) == 2
    values = {True: np.array(tokens, np.int32), False: np.array([position], np.int32)}
    return {port.name: values[port.symbol_axis == 0] for port in ports}
