"""The error tree: every failure a user can cause has one type, one stable code, a cause and a next step."""

from __future__ import annotations

__all__ = [
    "BackendError",
    "ConvertError",
    "EdgeSparseError",
    "FileFormatError",
    "InputError",
    "MissingExtraError",
    "OutputFileError",
    "PruningError",
    "UnsupportedOperatorError",
    "VerificationError",
]


class EdgeSparseError(Exception):
    """Base of all errors that edge_sparse raises on purpose.

    Parameters
    ----------
    code : str
        Stable upper-case identifier, for example ``FILE_TRUNCATED``; the C and JavaScript runtimes use the same.
    message : str
        What went wrong, naming the file, tensor or argument.
    hint : str, optional
        What to do next.
    """

    #: Process exit code of the command line for this branch of the tree.
    exit_code = 1

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}" + (f"\n  next step: {self.hint}" if self.hint else "")


class FileFormatError(EdgeSparseError):
    """The bytes of an ``.egs`` file break a rule of ``docs/format.md``; ``code`` names the rule."""

    exit_code = 2


class InputError(EdgeSparseError):
    """An array, name or option handed to a session does not fit the model."""

    exit_code = 3


class BackendError(EdgeSparseError):
    """The backend that was asked for cannot run this model here."""

    exit_code = 4


class MissingExtraError(EdgeSparseError):
    """An optional dependency is needed and not installed."""

    exit_code = 4


class ConvertError(EdgeSparseError):
    """The source model cannot be converted."""

    exit_code = 5


class UnsupportedOperatorError(ConvertError):
    """The source model holds operators without a rule; ``message`` lists them all."""


class PruningError(ConvertError):
    """A sparsity, group or layer selection that cannot be applied."""


class OutputFileError(EdgeSparseError):
    """The output cannot be written (exists, no permission, disk full)."""

    exit_code = 6


class VerificationError(EdgeSparseError):
    """The converted file does not compute what the source computes."""

    exit_code = 7
