"""The inputs on which a converted model is compared with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.source import Arrays

from edge_sparse.errors import InputError
from edge_sparse.session import Port

__all__ = ["random_batches", "read_batches"]

#: Rows of random input, at least.
RANDOM_SAMPLES = 8


def random_batches(ports: Sequence[Port], seed: int = 0) -> list[Arrays]:
    """Return enough normally distributed batches for eight samples; the same on every machine."""
    generator = np.random.default_rng(seed)
    batches = -(-RANDOM_SAMPLES // max(1, ports[0].shape[0]))
    return [{p.name: generator.standard_normal(p.shape, np.float32) for p in ports} for _ in range(batches)]


def read_batches(ports: Sequence[Port], inputs: Any) -> list[Arrays]:
    """Return batches that fit the model, cut from what the user gave.

    Parameters
    ----------
    ports : sequence of Port
        The model's inputs.
    inputs
        For a model with one input an array (samples along axis 0), or a sequence of them; with several inputs a
        sequence of arrays in their order. Or a mapping of names to arrays, a ``.npz`` file of such a mapping, a
        ``.npy`` file of one array. Tensors of torch are taken as arrays.

    Raises
    ------
    InputError
        The arrays do not fit the model.
    """
    if isinstance(inputs, (str, Path)):
        inputs = _read_file(Path(inputs))
    named = _named(ports, inputs)
    counts = {port.name: named[port.name].shape[0] // port.shape[0] for port in ports}
    if len(set(counts.values())) != 1:
        raise InputError("VERIFY_INPUTS", f"verify_inputs hold different numbers of batches: {counts}", "even them out")
    (count,) = set(counts.values())
    parts = {port.name: np.split(named[port.name], count) for port in ports}
    return [
        {port.name: port.check(np.ascontiguousarray(parts[port.name][index])) for port in ports}
        for index in range(count)
    ]


def _read_file(path: Path) -> Any:
    try:
        data = np.load(path, allow_pickle=False)
        return data if isinstance(data, np.ndarray) else {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            "VERIFY_INPUTS", f"verify_inputs {path}: {error}", "give a .npy or .npz file without pickled objects"
        ) from error


def _named(ports: Sequence[Port], inputs: Any) -> dict[str, npt.NDArray[Any]]:
    if isinstance(inputs, Mapping):
        named = {str(name): _array(value) for name, value in inputs.items()}
        if len(ports) == 1 and len(named) == 1:
            named = {ports[0].name: next(iter(named.values()))}
    elif len(ports) == 1:
        named = {ports[0].name: _joined(ports[0], inputs if isinstance(inputs, (list, tuple)) else [inputs])}
    else:
        parts = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        named = {port.name: _array(part) for port, part in zip(ports, parts, strict=False)}
    if sorted(named) != sorted(port.name for port in ports):
        names = ", ".join(port.name for port in ports)
        raise InputError("VERIFY_INPUTS", f"verify_inputs name {sorted(named)}", f"the model's inputs are {names}")
    for port in ports:
        array = named[port.name]
        _check_shape(port, array)
        if not array.shape[0] or array.shape[0] % port.shape[0]:
            raise _misfit(port, array)
    return named


def _joined(port: Port, parts: Sequence[Any]) -> npt.NDArray[Any]:
    arrays = [_array(part) for part in parts]
    for array in arrays:
        _check_shape(port, array)
    return np.concatenate(arrays) if arrays else np.zeros((0, *port.shape[1:]), port.dtype)


def _array(value: Any) -> npt.NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _check_shape(port: Port, array: npt.NDArray[Any]) -> None:
    if array.shape[1:] != port.shape[1:] or not array.shape:
        raise _misfit(port, array)


def _misfit(port: Port, array: npt.NDArray[Any]) -> InputError:
    return InputError(
        "VERIFY_INPUTS",
        f"verify_inputs for {port.name} have shape {array.shape}",
        f"give (a multiple of {port.shape[0]}, {', '.join(map(str, port.shape[1:]))})",
    )
