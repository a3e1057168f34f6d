"""Files opened by the C reader, through its public functions."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_sparse.backends.native.library import ErrorText, ModelHandle, load_library
from edge_sparse.errors import BackendError, FileFormatError
from edge_sparse.format.reader import parse_model

VECTORS = Path(__file__).parents[2] / "vectors"
sys.path += [str(VECTORS), str(Path(__file__).parents[1])]

__all__ = ["VECTORS", "CountingAllocator", "Outcome", "c_code", "c_library", "open_bytes", "open_path", "python_code"]

Outcome = tuple[str, str]


def c_library() -> ctypes.CDLL:
    """Return the library with the functions that open models, or skip the test."""
    try:
        library = load_library()
    except BackendError as error:
        pytest.skip(error.args[0])
    pointers = [ctypes.c_void_p] * 3
    library.es_model_open.argtypes = [ctypes.c_char_p, *pointers]
    library.es_model_open_fd.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64, *pointers]
    library.es_model_open_memory.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *pointers]
    return library


def _outcome(open_model: Callable[..., int], *arguments: object, options: object = None) -> Outcome:
    library = c_library()
    model, error = ModelHandle(), ErrorText()
    status = open_model(*arguments, options, ctypes.byref(model), ctypes.byref(error))
    assert bool(model) == (status == 0)
    library.es_model_close(model)
    return library.es_status_name(status).decode(), error.message.decode()


def open_bytes(data: bytes, shift: int = 0, options: object = None) -> Outcome:
    """Return the code and the message of a file in memory; ``shift`` moves it to an address that is not aligned."""
    memory = np.empty(len(data) + 128, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return _outcome(c_library().es_model_open_memory, memory[start:].ctypes.data, len(data), options=options)


def open_path(path: Path, fd: int | None = None, offset: int = 0, length: int = 0) -> Outcome:
    """Return the code and the message of a file on disk, by its path or by a descriptor."""
    library = c_library()
    if fd is None:
        return _outcome(library.es_model_open, str(path).encode())
    return _outcome(library.es_model_open_fd, fd, offset, length)


def c_code(data: bytes) -> str:
    """Return the code that the C reader gives."""
    return open_bytes(data)[0]


def python_code(data: bytes) -> str:
    """Return the code that the Python reader gives, ``OK`` if none."""
    try:
        parse_model(data)
    except FileFormatError as error:
        return error.code
    return "OK"


_ALLOCATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Allocator(ctypes.Structure):
    _fields_ = (("allocate", _ALLOCATE), ("release", _RELEASE), ("context", ctypes.c_void_p))


class _ModelOptions(ctypes.Structure):
    _fields_ = (("allocator", ctypes.POINTER(_Allocator)), ("log", ctypes.c_void_p), ("context", ctypes.c_void_p))


class CountingAllocator:
    """Memory that knows how much of it was in use at once, and that can refuse the n-th request.

    Parameters
    ----------
    refused : int
        Number of the request, from 0, that gets nothing; -1: all get memory.
    missing : str, optional
        Names of functions that are null.
    """

    def __init__(self, refused: int = -1, *missing: str) -> None:
        self.calls = self.used = self.largest = 0
        self._refused, self._blocks = refused, {}
        self._functions = _ALLOCATE(self._allocate), _RELEASE(self._release)
        self._allocator = _Allocator(*self._functions, None)
        for name in missing:
            setattr(self._allocator, name, {"allocate": _ALLOCATE, "release": _RELEASE}[name]())
        self._options = _ModelOptions(ctypes.pointer(self._allocator), None, None)

    @property
    def options(self) -> object:
        """``es_model_options`` with this allocator."""
        return ctypes.byref(self._options)

    def _allocate(self, context: int | None, size: int) -> int:
        self.calls += 1
        if self.calls - 1 == self._refused:
            return 0
        block = np.zeros(size + 64, np.uint8)
        address = block.ctypes.data + -block.ctypes.data % 64
        self._blocks[address] = block, size
        self.used += size
        self.largest = max(self.largest, self.used)
        return address

    def _release(self, context: int | None, memory: int, size: int) -> None:
        assert self._blocks.pop(memory)[1] == size
        self.used -= size
