"""The command line, ``edge-sparse``: one module per command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        # Imports take long enough for a Ctrl-C to hit them.
        from edge_sparse.cli import program

        return program.main(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
