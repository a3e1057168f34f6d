"""From a status of the C library to the exception that the other backends raise."""

from __future__ import annotations

import ctypes

from edge_sparse.errors import BackendError, EdgeSparseError, FileFormatError, InputError

__all__ = ["error_of"]

#: Statuses that say what the machine or the library cannot do.
_BACKEND = {"OP_UNSUPPORTED", "THREADS_UNAVAILABLE", "SESSION_BUSY", "CANCELLED"}
#: Beginnings of the codes of ``docs/format.md``; all codes that are left are about arguments.
_FILE = (
    *("FILE_", "HEADER_", "DIRECTORY_", "SECTION_", "PADDING_", "RESERVED_", "BLOB_", "STRING_", "MODEL_", "TENSOR_"),
    *("MATRIX_", "INDEX_", "PLAN_", "STEP_", "IMAGE_VALUES", "IMAGE_SHAPE", "TOKENIZER_", "METADATA_"),
)


def error_of(library: ctypes.CDLL, status: int, message: str) -> EdgeSparseError | MemoryError:
    """Return the exception of a status that is not 0."""
    code, hint = library.es_status_name(status).decode(), library.es_status_hint(status).decode()
    message = message or code.lower().replace("_", " ")
    # The session says how much memory a plan needs.
    if code == "MEMORY_EXHAUSTED":
        return MemoryError(message)
    if code in _BACKEND:
        return BackendError(code, message, hint)
    if code.startswith(_FILE) and code != "PLAN_UNKNOWN":
        return FileFormatError(code, message, hint)
    return InputError(code, message, hint)
