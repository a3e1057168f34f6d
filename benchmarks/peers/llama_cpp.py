"""llama.cpp through llama-cpp-python, timed token by token at any depth."""

from __future__ import annotations

import ctypes
import importlib.metadata
import time
from pathlib import Path

import llama_cpp
import numpy as np

__all__ = ["LlamaCpp"]

#: What llama-bench calls -b and -ub.
_BATCH = 512
#: GGML_LOG_LEVEL_ERROR.
_ERROR = 4


@llama_cpp.llama_log_callback
def _quiet(level: int, text: bytes, data: object) -> None:
    """Keep llama.cpp's messages out of the tables, but not its errors."""
    if level == _ERROR:
        print(text.decode(errors="replace"), end="")


class LlamaCpp:
    """One context of a model, with flash attention or without.

    Parameters
    ----------
    path : Path
        A GGUF file.
    context : int
        Tokens that the cache holds.
    flash : bool
    small_cache : bool
        Q8_0 keys and values instead of F16; needs flash attention.
    """

    def __init__(self, path: Path, *, context: int, flash: bool, small_cache: bool = False) -> None:
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        begun = time.perf_counter()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        self.load_seconds = time.perf_counter() - begun
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = -(-context // 256) * 256
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        if small_cache:
            parameters.type_k = parameters.type_v = llama_cpp.GGML_TYPE_Q8_0
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not self._model or not self._context:
            raise RuntimeError(f"llama.cpp cannot run {path}")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._random = np.random.default_rng(0)
        self.depth = 0

    def set_threads(self, threads: int) -> None:
        """Use this many threads from now on."""
        llama_cpp.llama_set_n_threads(self._context, threads, threads)

    def fill(self, depth: int) -> None:
        """Make the cache hold ``depth`` tokens: forget those after them, or read random ones."""
        if depth < self.depth:
            llama_cpp.llama_memory_seq_rm(self._memory, 0, depth, -1)
            self.depth = depth
        while self.depth < depth:
            self._run(min(_BATCH, depth - self.depth))

    def decode(self, tokens: int) -> list[float]:
        """Return the seconds of each of some single tokens; the cache then holds what it held before."""
        depth = self.depth
        seconds = [self._run(1) for _ in range(tokens)]
        self.fill(depth)
        return seconds

    def prefill(self, tokens: int) -> float:
        """Return the seconds that a prompt takes from an empty cache, which it then fills."""
        self.fill(0)
        return sum(self._run(min(_BATCH, tokens - at)) for at in range(0, tokens, _BATCH))

    def _run(self, tokens: int) -> float:
        ids = (llama_cpp.llama_token * tokens)(*self._random.integers(0, self._vocabulary, tokens).tolist())
        batch = llama_cpp.llama_batch_get_one(ids, tokens)
        start = time.perf_counter()
        if llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama.cpp cannot decode {tokens} tokens at depth {self.depth}")
        llama_cpp.llama_get_logits(self._context)  # waits for the result
        seconds = time.perf_counter() - start
        self.depth += tokens
        return seconds

    def close(self) -> None:
        """Give the memory back."""
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the versions and the instruction sets that the library was built for."""
        return {
            "llama-cpp-python": importlib.metadata.version("llama-cpp-python"),
            "llama.cpp": llama_cpp.llama_print_system_info().decode().strip(" |"),
        }
