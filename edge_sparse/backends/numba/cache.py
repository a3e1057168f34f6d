"""A private on-disk cache of compiled kernels.

Objects are machine code, so the folder must belong to this user and be closed to others; otherwise the cache is left
unused, with a warning. Entries are named by the hash of everything that decides their content.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ObjectCache", "cache_folder", "default_cache"]

#: Part of every key; to be raised when the meaning of an entry changes.
CACHE_VERSION = "1"
#: The oldest entries go when the folder grows past this many bytes.
SIZE_LIMIT = 64 << 20


def cache_folder() -> Path | None:
    """Return where the user's cache is or would be, None when it is turned off."""
    named = os.environ.get("EDGE_SPARSE_CACHE_DIR")
    if named == "off":
        return None
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edge_sparse" / f"kernels-v{CACHE_VERSION}"


@dataclass(frozen=True)
class ObjectCache:
    """Compiled objects by key in one folder; without a folder nothing is kept."""

    folder: Path | None

    @staticmethod
    def key(*parts: str) -> str:
        """Return the name of an entry that these texts decide."""
        digest = hashlib.sha256(CACHE_VERSION.encode())
        for part in parts:
            data = part.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()

    def get(self, key: str) -> bytes | None:
        """Return an entry, or None when it is missing or damaged."""
        if self.folder is None:
            return None
        try:
            data = (self.folder / f"{key}.o").read_bytes()
        except OSError:
            return None
        checksum, content = data[:32], data[32:]
        return content if hashlib.sha256(content).digest() == checksum else None

    def put(self, key: str, content: bytes) -> None:
        """Store an entry; a cache that cannot be written (full disk, read-only) changes nothing but speed."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(content).digest() + content)
                os.replace(name, self.folder / f"{key}.o")
            except BaseException:
                os.unlink(name)
                raise
            self._trim()

    def _trim(self) -> None:
        assert self.folder is not None
        entries = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= SIZE_LIMIT:
                break
            path.unlink(missing_ok=True)
            total -= size


def default_cache() -> ObjectCache:
    """Return the user's cache, made on first use with mode 0700.

    ``EDGE_SPARSE_CACHE_DIR`` names another folder; ``EDGE_SPARSE_CACHE_DIR=off`` turns the cache off.
    """
    folder = cache_folder()
    if folder is None:
        return ObjectCache(None)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        warnings.warn(f"kernel cache {folder} is unusable ({error}); compiling anew", stacklevel=2)
        return ObjectCache(None)
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        warnings.warn(
            f"kernel cache {folder} belongs to another user or is writable by others; compiling anew",
            stacklevel=2,
        )
        return ObjectCache(None)
    return ObjectCache(folder)
