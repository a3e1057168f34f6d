"""From kernel sources to callable addresses: LLVM IR, object code, the cache, and the loader."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from edge_sparse.backends.numba.cache import ObjectCache, default_cache
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.sources import sources_behind
from edge_sparse.backends.numba.target import Target, host_target, target_machine

__all__ = ["KernelCompiler"]

# LLVM's code generator and Numba's compiler are not reentrant.
_COMPILE_LOCK = threading.Lock()


class KernelCompiler:
    """Compiles or fetches the kernels of one model and owns their machine code.

    Ask for every kernel with ``emit`` or ``python``, then call ``load`` once; ``address`` is valid afterwards, for as
    long as the compiler lives.
    """

    def __init__(self, target: Target | None = None, cache: ObjectCache | None = None) -> None:
        self.target = target or host_target()
        self._cache = cache or default_cache()
        self._objects: dict[str, bytes] = {}
        self._symbols: dict[str, str] = {}
        self._machine: Any = None
        self._engine: Any = None
        self.compiled = 0

    def emit(self, name: str, emitter: Callable[[KernelBuilder], None]) -> str:
        """Add a kernel written in vector IR and return its name. One name stands for one code.

        The emitter runs only if the cache lacks the kernel.
        """
        if name not in self._objects:

            def text() -> str:
                builder = KernelBuilder(self.target, name)
                emitter(builder)
                return builder.finish()

            self._add(name, ("vector IR", sources_behind(emitter) or text()), lambda: (name, text()))
        return name

    def python(self, function: Callable[..., None]) -> str:
        """Add a kernel written in Python for Numba, ``kernel(args, begin, end)``, and return its name."""
        name = function.__name__
        if name not in self._objects:
            from edge_sparse.backends.numba.python_kernels import numba_version, source_of, to_llvm

            origin = (f"numba {numba_version()}", sources_behind(function) or source_of(function))
            self._add(name, origin, lambda: to_llvm(function, self.target))
        return name

    def _add(self, name: str, origin: tuple[str, str], produce: Callable[[], tuple[str, str]]) -> None:
        import llvmlite

        key = ObjectCache.key(name, *origin, repr(self.target), llvmlite.__version__)
        stored = self._cache.get(key)
        if stored is not None:
            symbol, _, code = stored.partition(b"\0")
            self._symbols[name], self._objects[name] = symbol.decode(), code
            return
        with _COMPILE_LOCK:
            symbol_name, text = produce()
            code = self._object_code(text)
        self.compiled += 1
        self._cache.put(key, symbol_name.encode() + b"\0" + code)
        self._symbols[name], self._objects[name] = symbol_name, code

    def _object_code(self, text: str) -> bytes:
        import llvmlite.binding as llvm

        if self._machine is None:
            self._machine = target_machine(self.target)
        module = llvm.parse_assembly(text)
        module.verify()
        return bytes(self._machine.emit_object(module))

    def load(self) -> None:
        """Load all kernels into memory."""
        import llvmlite.binding as llvm

        with _COMPILE_LOCK:
            machine = target_machine(self.target)
            module = llvm.parse_assembly("")
            module.triple = self.target.triple
            self._engine = llvm.create_mcjit_compiler(module, machine)
            for code in self._objects.values():
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return the address of a loaded kernel."""
        return int(self._engine.get_function_address(self._symbols[name]))
