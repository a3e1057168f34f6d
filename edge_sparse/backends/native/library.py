"""Finds the C library, loads it once and declares its functions; ``kernels_arm/include/edge_sparse.h`` is the truth."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

from edge_sparse import __version__
from edge_sparse.errors import BackendError

__all__ = ["LIBRARY_VARIABLE", "ModelHandle", "Port", "SessionHandle", "SessionOptions", "StepProfile", "load_library"]

#: Environment variable that names another library file.
LIBRARY_VARIABLE = "EDGE_SPARSE_LIBRARY"
_SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
#: Where wheels and ``make native`` put it.
PACKAGED = Path(__file__).with_name(f"libedge_sparse.{_SUFFIX}")

ModelHandle = ctypes.c_void_p
SessionHandle = ctypes.c_void_p


class ErrorText(ctypes.Structure):
    """``es_error``."""

    _fields_ = (("message", ctypes.c_char * 240),)


class SessionOptions(ctypes.Structure):
    """``es_session_options``; the library makes its own threads."""

    _fields_ = (
        ("threads", ctypes.c_uint32),
        ("variants", ctypes.c_uint32),
        ("parallel", ctypes.c_void_p),
        ("parallel_context", ctypes.c_void_p),
    )


class Port(ctypes.Structure):
    """``es_port``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int),
        ("rank", ctypes.c_uint32),
        ("shape", ctypes.c_uint64 * 6),
        ("bytes", ctypes.c_uint64),
        ("nhwc", ctypes.c_int),
        ("symbolic", ctypes.c_int),
    )


class StepProfile(ctypes.Structure):
    """``es_step_profile``."""

    _fields_ = (
        ("step", ctypes.c_char_p),
        ("op", ctypes.c_char_p),
        ("kernel", ctypes.c_char_p),
        ("runs", ctypes.c_uint64),
        ("nanoseconds", ctypes.c_uint64),
        ("nanoseconds_min", ctypes.c_uint64),
        ("density", ctypes.c_double),
    )


def _text(arguments: int) -> tuple[type, list[type]]:
    return ctypes.c_char_p, [ctypes.c_void_p] * arguments


#: Result and arguments of every function that is called.
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "es_status_name": (ctypes.c_char_p, [ctypes.c_int]),
    "es_status_hint": (ctypes.c_char_p, [ctypes.c_int]),
    "es_version": _text(0),
    "es_cpu_description": _text(0),
    "es_cpu_variants": (ctypes.c_uint32, []),
    "es_model_open_detached": (
        ctypes.c_int,
        [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_void_p] * 3],
    ),
    "es_model_close": (None, [ModelHandle]),
    "es_session_create": (ctypes.c_int, [ModelHandle, ctypes.c_char_p, *[ctypes.c_void_p] * 3]),
    "es_session_close": (None, [SessionHandle]),
    "es_session_bind": (ctypes.c_int, [SessionHandle, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t]),
    "es_session_run": (ctypes.c_int, [SessionHandle]),
    "es_session_error": _text(1),
    "es_session_state": (ctypes.c_int, [SessionHandle, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]),
    "es_session_set_profiling": (None, [SessionHandle, ctypes.c_int]),
    "es_session_step_count": (ctypes.c_uint32, [SessionHandle]),
    "es_session_step": (ctypes.c_int, [SessionHandle, ctypes.c_uint32, ctypes.c_void_p]),
}


def library_path() -> Path:
    """Return the file that will be loaded, whether or not it is there."""
    return Path(os.environ.get(LIBRARY_VARIABLE) or PACKAGED).absolute()


def load_library() -> ctypes.CDLL:
    """Return the library with its functions declared.

    Raises
    ------
    BackendError
        ``BACKEND_UNAVAILABLE``: there is no library, or one of another release.
    """
    return _loaded(library_path())


@functools.cache
def _loaded(path: Path) -> ctypes.CDLL:
    hint = "in a source checkout: make native; else install a wheel for this machine"
    if not path.is_file():
        raise BackendError("BACKEND_UNAVAILABLE", f"the C library is not at {path}", hint)
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise BackendError("BACKEND_UNAVAILABLE", f"{path} cannot be loaded: {error}", hint) from None
    version = library.es_version().decode()
    if version != __version__:
        message = f"{path} is release {version}, this package is {__version__}"
        raise BackendError("BACKEND_UNAVAILABLE", message, hint)
    return library
