"""Text and images of the C core: ``es_text_*`` and ``es_image_*`` without their Python twins."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.native.library import ErrorText, SessionOptions, load_library
from edge_sparse.backends.native.program import NativeProgram
from edge_sparse.backends.native.status import error_of
from edge_sparse.errors import BackendError
from edge_sparse.plan import DType, Model

__all__ = ["FINISHES", "NativeText", "TextOptions", "native_preprocess"]

#: Names of ``es_finish``, as ``Generation.finish`` has them.
FINISHES = ("end", "length", "stop", "context", "cancelled")
_PIECE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)


class TextOptions(ctypes.Structure):
    """``es_text_options``."""

    _fields_ = (
        ("session", SessionOptions),
        ("context", ctypes.c_uint32),
        ("prompt_bytes", ctypes.c_uint32),
        ("attention", ctypes.c_int),
        ("cache", ctypes.c_int),
        ("theta", ctypes.c_float),
        ("window", ctypes.c_float),
        ("sinks", ctypes.c_uint32),
    )


class _Sampling(ctypes.Structure):
    _fields_ = (
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_uint32),
        ("top_p", ctypes.c_float),
        ("min_p", ctypes.c_float),
        ("repetition_penalty", ctypes.c_float),
        ("seed", ctypes.c_uint64),
    )


class _GenerateOptions(ctypes.Structure):
    _fields_ = (
        ("sampling", _Sampling),
        ("max_tokens", ctypes.c_uint32),
        ("stops", ctypes.POINTER(ctypes.c_char_p)),
        ("stop_count", ctypes.c_uint32),
        ("roll", ctypes.c_int),
    )


class GenerationResult(ctypes.Structure):
    """``es_generation``."""

    _fields_ = (
        ("finish", ctypes.c_int),
        ("prompt_tokens", ctypes.c_uint32),
        ("reused_tokens", ctypes.c_uint32),
        ("generated_tokens", ctypes.c_uint32),
        ("rolls", ctypes.c_uint32),
        ("first_token_seconds", ctypes.c_double),
        ("decode_seconds", ctypes.c_double),
    )


class _Image(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("channels", ctypes.c_uint32),
        ("row_bytes", ctypes.c_uint64),
    )


_POINTER, _SIZE, _STATUS = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "es_text_options_default": (TextOptions, []),
    "es_text_create": (_STATUS, [_POINTER] * 4),
    "es_text_close": (None, [_POINTER]),
    "es_text_session": (_POINTER, [_POINTER]),
    "es_text_error": (ctypes.c_char_p, [_POINTER]),
    "es_text_encode": (_STATUS, [_POINTER, ctypes.c_char_p, _SIZE, _POINTER, _SIZE, _POINTER]),
    "es_text_decode": (_STATUS, [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER]),
    "es_text_read": (_STATUS, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "es_text_rewind": (_SIZE, [_POINTER, _SIZE]),
    "es_text_vocabulary": (ctypes.c_uint32, [_POINTER]),
    "es_text_context": (ctypes.c_uint32, [_POINTER]),
    "es_text_sampling": (_Sampling, [_POINTER]),
    "es_text_generate": (_STATUS, [_POINTER, ctypes.c_char_p, _SIZE, *[_POINTER] * 4]),
    "es_text_generate_tokens": (_STATUS, [_POINTER, _POINTER, _SIZE, *[_POINTER] * 4]),
    "es_text_begin": (_STATUS, [_POINTER, ctypes.c_char_p, _SIZE, _POINTER]),
    "es_text_begin_tokens": (_STATUS, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "es_text_next": (_STATUS, [_POINTER] * 4),
    "es_text_end": (_STATUS, [_POINTER] * 2),
    "es_text_skipped": (ctypes.c_double, [_POINTER]),
    "es_session_cancel": (None, [_POINTER]),
    "es_session_reset": (None, [_POINTER]),
    "es_image_scratch_bytes": (_SIZE, [_POINTER] * 2),
    "es_image_preprocess": (_STATUS, [_POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _SIZE]),
}


def _library() -> Any:
    library = load_library()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class NativeText:
    """A language model of the C core.

    Parameters
    ----------
    model : Model
        As it was read from a file.
    options : optional
        Fields of ``es_text_options``; ``attention`` is 0 for exact and 1 for delta attention, ``threads`` those of
        its session, ``cache`` a ``DType``.
    """

    def __init__(self, model: Model, **options: Any) -> None:
        self.library = _library()
        self._program = NativeProgram(model, model.plans[0])
        given = self.library.es_text_options_default()
        given.session.threads = options.pop("threads", 1)
        cache = options.pop("cache", None)
        given.cache = 0 if cache is None else int(DType(cache))
        for name, value in options.items():
            setattr(given, name, value)
        handle, error = _POINTER(), ErrorText()
        status = self.library.es_text_create(
            self._program.handle, ctypes.byref(given), ctypes.byref(handle), ctypes.byref(error)
        )
        if status:
            raise error_of(self.library, status, error.message.decode(errors="replace"))
        self._handle = handle
        self.result = GenerationResult()
        self.text = ""
        self.context: int = self.library.es_text_context(handle)
        self.vocabulary: int = self.library.es_text_vocabulary(handle)
        self.close = weakref.finalize(self, self.library.es_text_close, handle)

    @property
    def handle(self) -> ctypes.c_void_p:
        """The ``es_text``; none is left after ``close``."""
        if not self.close.alive:
            raise BackendError("SESSION_CLOSED", "this language model was closed", "make another")
        return self._handle

    def _check(self, status: int) -> None:
        if status:
            raise error_of(self.library, status, self.library.es_text_error(self.handle).decode(errors="replace"))

    def encode(self, text: str | bytes) -> list[int]:
        """Return the tokens of a text."""
        data = text if isinstance(text, bytes) else text.encode()
        count, tokens = _SIZE(), np.empty(3 * len(data) + 2, np.int32)
        self._check(
            self.library.es_text_encode(
                self.handle, data, len(data), tokens.ctypes.data, len(tokens), ctypes.byref(count)
            )
        )
        found: list[int] = tokens[: count.value].tolist()
        return found

    def decode(self, tokens: Sequence[int], capacity: int = 1 << 16) -> str:
        """Return the text of tokens."""
        numbers, text, length = np.array(tokens, np.int32), ctypes.create_string_buffer(capacity), _SIZE()
        self._check(
            self.library.es_text_decode(
                self.handle, numbers.ctypes.data, len(numbers), text, capacity, ctypes.byref(length)
            )
        )
        return text.raw[: length.value].decode()

    def read(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Read tokens behind those that were read; return the logits of the last."""
        numbers, logits = np.array(tokens, np.int32), ctypes.POINTER(ctypes.c_float)()
        self._check(self.library.es_text_read(self.handle, numbers.ctypes.data, len(numbers), ctypes.byref(logits)))
        return np.ctypeslib.as_array(logits, (self.vocabulary,)).copy()

    def rewind(self, tokens: int) -> int:
        """Keep so many tokens; return how many are kept."""
        kept: int = self.library.es_text_rewind(self.handle, tokens)
        return kept

    def skipped(self) -> float:
        """Return the share of stored keys that need not be read."""
        share: float = self.library.es_text_skipped(self.handle)
        return share

    def cancel(self) -> None:
        """Cancel a run, from any thread."""
        self.library.es_session_cancel(self.library.es_text_session(self.handle))

    def reset(self) -> None:
        """Set the session's state to zero."""
        self.library.es_session_reset(self.library.es_text_session(self.handle))

    def _options(self, max_tokens: int, stop: Sequence[str], roll: bool, sampling: dict[str, Any]) -> _GenerateOptions:
        chosen = self.library.es_text_sampling(self.handle)
        for name, value in sampling.items():
            setattr(chosen, name, value)
        stops = (ctypes.c_char_p * max(1, len(stop)))(*(text.encode() for text in stop))
        return _GenerateOptions(chosen, max_tokens, stops, len(stop), roll)

    def begin(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int = 0,
        stop: Sequence[str] = (),
        roll: bool = False,
        **sampling: Any,
    ) -> None:
        """Begin a generation in steps, with the options of ``generate``."""
        self._running = self._options(max_tokens, stop, roll, sampling)  # whose stop texts the library keeps
        if isinstance(prompt, str):
            data = prompt.encode()
            status = self.library.es_text_begin(self.handle, data, len(data), ctypes.byref(self._running))
        else:
            numbers = np.array(prompt, np.int32)
            arguments = (numbers.ctypes.data, len(numbers), ctypes.byref(self._running))
            status = self.library.es_text_begin_tokens(self.handle, *arguments)
        self._check(status)
        self.text = ""

    def next(self) -> tuple[str, bool]:
        """Take a step; return the text that it brought, and whether it was the last."""
        text, length, done = _POINTER(), _SIZE(), ctypes.c_int()
        status = self.library.es_text_next(self.handle, *map(ctypes.byref, (text, length, done)))
        piece = ctypes.string_at(text.value or 0, length.value).decode()
        self.text += piece
        assert done.value or not status
        self._check(status)
        return piece, bool(done.value)

    def end(self) -> None:
        """End a generation in steps; ``result`` then says how it went."""
        self._check(self.library.es_text_end(self.handle, ctypes.byref(self.result)))

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int = 0,
        stop: Sequence[str] = (),
        roll: bool = False,
        piece: Callable[[str], object] | None = None,
        **sampling: Any,
    ) -> str:
        """Continue a prompt and return the text; ``result`` then says how it went.

        Parameters
        ----------
        prompt : str or sequence of int
            Text, or tokens.
        max_tokens, stop, roll : int, sequence of str, bool
            See ``es_generate_options``.
        piece : callable, optional
            Gets every piece of text; what is true in Python ends the generation.
        sampling : optional
            Fields of ``es_sampling``; by default as the file says, with seed 0.
        """
        options = self._options(max_tokens, stop, roll, sampling)
        pieces: list[str] = []

        def keep(_: object, data: Any, length: int) -> int:
            pieces.append(data[:length].decode())
            return int(bool(piece and piece(pieces[-1])))

        arguments = (ctypes.byref(options), _PIECE(keep), None, ctypes.byref(self.result))
        if isinstance(prompt, str):
            data = prompt.encode()
            status = self.library.es_text_generate(self.handle, data, len(data), *arguments)
        else:
            numbers = np.array(prompt, np.int32)
            status = self.library.es_text_generate_tokens(self.handle, numbers.ctypes.data, len(numbers), *arguments)
        self.text = "".join(pieces)
        self._check(status)
        return self.text

    @property
    def finish(self) -> str:
        """Why the last generation ended."""
        return FINISHES[self.result.finish]


def native_preprocess(program: NativeProgram, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the first input of a model for a picture of shape (H, W) or (H, W, channels), in the input's order.

    Rows may lie apart; pixels of a row may not.
    """
    library, record = _library(), program.model.image
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    image = _Image(pixels.ctypes.data, width, height, channels, pixels.strides[0])
    size = library.es_image_scratch_bytes(program.handle, ctypes.byref(image))
    scratch = np.empty(max(1, size), np.uint8)
    made = np.zeros((record.channels, record.height, record.width) if record else (1,), np.float32)
    status = library.es_image_preprocess(
        program.handle, ctypes.byref(image), scratch.ctypes.data, size, made.ctypes.data, made.nbytes
    )
    if status:
        raise error_of(library, status, "")
    return made
