"""Text for people: safe names, sizes, tables in plain characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "duration", "plain_table", "printable", "size"]


@dataclass(frozen=True)
class Table:
    """Cells as text. ``numeric`` columns are aligned to the right; ``total`` is a last row set apart."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[str] = frozenset()
    title: str = ""
    total: tuple[str, ...] = ()


def printable(text: object) -> str:
    """Return text in which everything that could steer a terminal is written as an escape.

    Names come from files that anybody may have made; escape sequences and characters that change the direction of
    text must not reach a terminal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def size(count: float) -> str:
    """Return a number of bytes with its unit: ``17 B``, ``3.1 KiB``, ``12 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def duration(seconds: float) -> str:
    """Return a time with its unit: ``12.3 us``, ``4.56 ms``, ``1.23 s``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def plain_table(table: Table) -> str:
    """Return the table as aligned columns."""
    rows = [[printable(cell) for cell in row] for row in (table.columns, *table.rows, *filter(None, [table.total]))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    right = [name in table.numeric for name in table.columns]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    lines = [line(rows[0]), rule, *(line(row) for row in rows[1:])]
    if table.total:
        lines.insert(-1, rule)
    return "\n".join(([printable(table.title)] if table.title else []) + lines)
