"""Check that files obey every rule of the format, and print their SHA-256.

Nothing in the files is run. The exit code is 0 when all are valid, else the one of the first failure (2: invalid).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_sparse.cli.console import Console
from edge_sparse.errors import EdgeSparseError
from edge_sparse.validation import ValidFile, validate

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "check files against the format"
EPILOG = """\
examples:
  edge-sparse validate model.egs
  edge-sparse validate *.egs --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")


def run(options: argparse.Namespace, console: Console) -> int:
    """Check every file, also after a failure."""
    code, documents = 0, []
    for path in options.files:
        try:
            valid = validate(path)
        except EdgeSparseError as error:
            code = code or error.exit_code
            console.line(f"{path}: INVALID [{error.code}] {error.message}")
            documents.append(
                {"path": str(path), "valid": False, "code": error.code, "message": error.message, "hint": error.hint}
            )
        else:
            console.line(f"{path}: ok, {valid.bytes} bytes, sha256 {valid.sha256}")
            documents.append(_document(valid))
    console.document(documents)
    return code


def _document(valid: ValidFile) -> dict[str, object]:
    return {"path": valid.path, "valid": True, "bytes": valid.bytes, "sha256": valid.sha256}
