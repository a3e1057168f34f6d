"""Reading and writing ``.npy`` and ``.npz`` files without trusting them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError, OutputFileError
from edge_sparse.output_file import write_atomically

__all__ = ["check_output", "read_array", "read_arrays", "read_inputs", "write_arrays"]

Arrays = dict[str, npt.NDArray[Any]]


def read_inputs(given: Sequence[str], names: Sequence[str]) -> Arrays:
    """Return arrays by input name from ``FILE.npy``, ``NAME=FILE.npy`` and ``FILE.npz`` arguments.

    Files without a name fill the inputs that are left, in the model's order. Arrays of another memory order are
    copied to C order, which changes no value.
    """
    named: Arrays = {}
    unnamed = []
    for text in given:
        name, equals, path = text.partition("=")
        if equals and name in names:
            _put(named, name, read_array(Path(path)))
        elif equals and not Path(text).exists():
            raise InputError("INPUT_NAME", f"the model has no input {name!r}", f"its inputs: {', '.join(names)}")
        elif text.endswith(".npz"):
            for key, array in read_arrays(Path(text)).items():
                _put(named, key, array)
        else:
            unnamed.append(text)
    free = [name for name in names if name not in named]
    if len(unnamed) > len(free):
        raise InputError("INPUT_COUNT", f"{unnamed[len(free)]} fits no input", f"the inputs are {', '.join(names)}")
    for name, text in zip(free, unnamed, strict=False):
        named[name] = read_array(Path(text))
    return {name: np.ascontiguousarray(array) for name, array in named.items()}


def _put(arrays: Arrays, name: str, array: npt.NDArray[Any]) -> None:
    if name in arrays:
        raise InputError("INPUT_NAME", f"input {name} is given twice", "give one array per input")
    arrays[name] = array


def read_array(path: Path) -> npt.NDArray[Any]:
    """Return the array of a ``.npy`` file, never a pickled object."""
    if path.suffix.lower() == ".npz":
        arrays = read_arrays(path)
        if len(arrays) != 1:
            raise InputError("ARRAY_COUNT", f"{path} holds {len(arrays)} arrays, not one", "save a .npy file")
        return next(iter(arrays.values()))
    with _open(path) as file:
        return _read(file, path.stat().st_size, str(path))


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of a ``.npz`` file by name."""
    arrays = {}
    with _open(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    with archive.open(entry) as member:
                        name = f"{entry.filename} in {path}"
                        arrays[entry.filename.removesuffix(".npy")] = _read(member, entry.file_size, name)
        except InputError:
            raise
        except Exception as error:
            # Broken archives raise BadZipFile, zlib.error, struct.error, EOFError and more; all mean the same.
            raise _unreadable(str(path), str(error)) from error
    return arrays


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            "ARRAY_NOT_FOUND", f"{path}: {error.strerror}", "check the path and its permissions"
        ) from error


def _read(file: Any, size: int, name: str) -> npt.NDArray[Any]:
    """Read one ``.npy`` stream of ``size`` bytes; what its header promises must be there before memory is taken."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except (ValueError, EOFError, SyntaxError) as error:
        raise _unreadable(name, str(error)) from error
    if dtype.hasobject:
        raise InputError(
            "ARRAY_PICKLED", f"{name} holds Python objects (a pickle)", "save plain numbers: numpy.save(path, x)"
        )
    count = 1
    for length in shape:
        count *= length
    promised = count * dtype.itemsize
    if promised != size - file.tell():
        raise _unreadable(name, f"its header promises {promised} bytes of data, there are {size - file.tell()}")
    data = file.read(promised)
    if len(data) != promised:
        raise _unreadable(name, "it ends early")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")


def _unreadable(name: str, reason: str) -> InputError:
    reason = reason.splitlines()[0] if reason else "it is empty"
    return InputError("ARRAY_UNREADABLE", f"{name} is no readable array file: {reason}", "save it with numpy.save")


def check_output(path: Path, names: Sequence[str]) -> None:
    """Refuse a name that cannot hold these arrays."""
    if path.suffix.lower() not in (".npy", ".npz"):
        raise OutputFileError("OUTPUT_EXTENSION", f"{path} ends in neither .npy nor .npz", "name it y.npy or y.npz")
    if path.suffix.lower() == ".npy" and len(names) != 1:
        raise OutputFileError(
            "OUTPUT_EXTENSION", f"a .npy file holds one array, the model has {', '.join(names)}", "write a .npz file"
        )


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, overwrite: bool) -> None:
    """Write a ``.npy`` or ``.npz`` file, all or nothing."""
    check_output(path, list(arrays))
    if path.suffix.lower() == ".npy":
        array = next(iter(arrays.values()))
        write_atomically(path, lambda file: np.save(file, array, allow_pickle=False), overwrite=overwrite)
    else:
        write_atomically(path, lambda file: _save_archive(file, arrays), overwrite=overwrite)


def _save_archive(file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # numpy.savez takes names as keyword arguments, which cannot be called "file".
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
