"""Reader of ``.safetensors`` files: a JSON table in front of raw arrays.

The ``safetensors`` package gives NumPy no bfloat16 (0.8 raises ``TypeError``), which nearly all language models are
stored in; with torch it does, but a conversion needs no torch, and mapped files would count as its memory.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from edge_sparse.converters.decoder.checkpoint import StoredTensor

from edge_sparse.errors import ConvertError

__all__ = ["read_safetensors"]

#: bfloat16 is the upper half of a float32; NumPy has no name for it.
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_TABLE_LIMIT = 100 << 20


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return the floating-point tensors of a file by name; other types are left out.

    Raises
    ------
    ConvertError
        ``SHARD_MISSING`` when there is no such file, ``SHARD_INVALID`` when it is no safetensors file or cut off.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(8)
            length = int.from_bytes(head, "little")
            if len(head) < 8 or length > min(_TABLE_LIMIT, size - 8):
                raise _invalid(path, f"its table would take {length} bytes of {size}")
            table = json.loads(file.read(length))
    except FileNotFoundError:
        raise ConvertError("SHARD_MISSING", f"there is no file {path}", "download the missing part") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(path, f"its table cannot be read: {error}") from None
    if not isinstance(table, dict):
        raise _invalid(path, "its table is no object")
    entries = ((name, entry) for name, entry in table.items() if name != "__metadata__")
    tensors = ((name, _tensor(path, name, entry, 8 + length, size)) for name, entry in entries)
    return {name: tensor for name, tensor in tensors if tensor is not None}


def _tensor(path: Path, name: str, entry: Any, start: int, size: int) -> StoredTensor | None:
    try:
        kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        numbers = (*shape, first, last)
    except (TypeError, KeyError, ValueError):
        raise _invalid(path, f"its entry of {name} is incomplete") from None
    if any(type(number) is not int or number < 0 for number in numbers) or not first <= last <= size - start:
        raise _invalid(path, f"{name} lies outside the file, which may be cut off")
    if kind not in _TYPES:
        return None
    dtype = np.dtype(_TYPES[kind])
    if last - first != dtype.itemsize * math.prod(shape):
        raise _invalid(path, f"{name} has {last - first} bytes for shape {shape}")
    return StoredTensor(f"{name} in {path.name}", path, start + first, shape, dtype)


def _invalid(path: Path, problem: str) -> ConvertError:
    return ConvertError("SHARD_INVALID", f"{path}: {problem}", "download the file again")
