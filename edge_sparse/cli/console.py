"""Where a command's words go: results to stdout, progress and notes to stderr, JSON instead when asked for."""

from __future__ import annotations

import dataclasses
import enum
import importlib.util
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np

from edge_sparse.cli.text import Table, plain_table, printable
from edge_sparse.errors import EdgeSparseError, OutputFileError

__all__ = ["Console", "Report", "plain_values", "silence_stdout"]

#: Called with what is being done and the done share (0 to 1), or None where the end is unknown.
Report = Callable[[str, float | None], None]


class Console:
    """Prints for one command. With ``as_json``, stdout gets nothing but the one document given to ``document``."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def line(self, text: str = "") -> None:
        """Print a result line, with control characters made visible."""
        if not self.as_json:
            self.write(printable(text) + "\n")

    def write(self, text: str) -> None:
        """Put text on stdout as it is and hand it on at once.

        Raises
        ------
        OutputFileError
            It cannot be written, for example because the disk is full. A reader that went away is another matter.
        """
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            silence_stdout()
            raise OutputFileError("OUTPUT_NOT_WRITABLE", f"stdout: {error.strerror}", "free some space") from error

    def note(self, text: str) -> None:
        """Tell something that is no result, on stderr."""
        if not self.as_json:
            print("\n".join(printable(line) for line in text.splitlines()), file=sys.stderr)

    def document(self, value: object) -> None:
        """Print the result for machines; nothing without ``--json``."""
        if self.as_json:
            self.write(json.dumps(plain_values(value), indent=2, allow_nan=False) + "\n")

    def table(self, table: Table) -> None:
        """Draw a table: with rich on a terminal that has it, else in plain characters."""
        if self.as_json:
            return
        if _fancy(sys.stdout):
            self.write(_rich_table(table))
        else:
            self.write(plain_table(table) + "\n")

    def error(self, error: EdgeSparseError) -> None:
        """Print code, cause and next step on stderr."""
        if self.as_json:
            value = {"code": error.code, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}
            print(json.dumps({"error": value}), file=sys.stderr)
            return
        lines = [f"error [{error.code}]: {error.message}"] + ([f"next step: {error.hint}"] if error.hint else [])
        for line in "\n".join(lines).splitlines():
            print(printable(line), file=sys.stderr)

    @contextmanager
    def progress(self) -> Iterator[Report]:
        """Give a function that shows how far a long task is.

        A bar on a terminal with rich; elsewhere one line on stderr per new text; nothing with ``--json``.
        """
        if self.as_json:
            yield _say_nothing
        elif _fancy(sys.stderr):
            with _rich_progress() as report:
                yield report
        else:
            seen: set[str] = set()

            def report_line(text: str, share: float | None = None) -> None:
                if text not in seen:
                    seen.add(text)
                    self.note(f"{text} ...")

            yield report_line


def silence_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter has nothing to complain about at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain_values(value: Any) -> Any:
    """Return a value as JSON can hold it; numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_values(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_values(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, np.ndarray):
        return plain_values(value.tolist())
    if isinstance(value, np.generic):
        return plain_values(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _say_nothing(_text: str, _share: float | None = None) -> None:
    """Take a progress report without showing it."""


def _fancy(stream: TextIO) -> bool:
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def _rich_table(table: Table) -> str:
    from rich.console import Console as RichConsole
    from rich.table import Table as RichTable
    from rich.text import Text

    # Text, never markup: a name such as "[red]" is data.
    drawn = RichTable(title=Text(printable(table.title)) if table.title else None, title_justify="left")
    for name in table.columns:
        drawn.add_column(Text(name), justify="right" if name in table.numeric else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    if table.total:
        drawn.add_section()
        drawn.add_row(*(Text(printable(cell), style="bold") for cell in table.total))
    console = RichConsole()
    with console.capture() as captured:
        console.print(drawn)
    drawing: str = captured.get()
    return drawing


@contextmanager
def _rich_progress() -> Iterator[Report]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)

        def report(text: str, share: float | None = None) -> None:
            bars.update(task, description=printable(text), total=None if share is None else 1.0, completed=share or 0.0)

        yield report
