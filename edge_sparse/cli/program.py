"""All commands behind one parser, and what their errors become."""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from edge_sparse.cli import bench, chat, convert, demo, devices, generate, inspect, perplexity, run, validate
from edge_sparse.cli.console import Console, silence_stdout
from edge_sparse.errors import EdgeSparseError, InputError, OutputFileError

__all__ = ["COMMANDS", "main"]

COMMANDS: tuple[ModuleType, ...] = (
    convert,
    inspect,
    validate,
    run,
    generate,
    chat,
    perplexity,
    bench,
    demo,
    devices,
)

EPILOG = """\
examples:
  edge-sparse convert model.pt2 -o model.egs --sparsity 0.8 --group gs4x1
  edge-sparse inspect model.egs
  edge-sparse run model.egs --image cat.jpg
  edge-sparse generate llama.egs -p "Once upon a time" -n 200
  edge-sparse bench model.egs -t 1,2

exit codes: 0 done, 1 unexpected failure, 2 invalid file, 3 wrong input or option, 4 backend or extra missing,
5 cannot convert, 6 cannot write, 7 verification failed, 130 interrupted.
Results go to stdout, everything else to stderr. With --json, stdout is one JSON document or empty, and an error is the
last line of stderr, in JSON too.
"""


class Parser(argparse.ArgumentParser):
    """Raises a typed error for wrong usage, so that it is printed like all others."""

    def error(self, message: str) -> NoReturn:
        """Name the command whose help explains the options."""
        raise InputError("USAGE", message, f"{self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    console = Console("--json" in arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape instead of an exception.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_rest, **_named: console.note(f"warning: {message}")
            return _run(arguments, console)
    except EdgeSparseError as error:
        failure = error
    except BrokenPipeError:
        # The reader (head, a pager) has enough.
        silence_stdout()
        return 141
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        failure = _unexpected(error)
    if "--debug" in arguments:
        traceback.print_exception(failure)
    console.error(failure)
    return failure.exit_code


def _run(arguments: Sequence[str], console: Console) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # --help and --version have printed
        console.write("")
        return int(end.code or 0)
    except BrokenPipeError:
        raise
    except OSError as error:  # Python 3.10 does not catch it where it prints the help
        silence_stdout()
        raise OutputFileError("OUTPUT_NOT_WRITABLE", f"stdout: {error.strerror}", "free some space") from error
    return int(options.run(options, console))


def _unexpected(error: Exception) -> EdgeSparseError:
    if isinstance(error, MemoryError):
        failure = EdgeSparseError("OUT_OF_MEMORY", "the memory does not suffice", "close other programs or use less")
    else:
        failure = EdgeSparseError(
            "INTERNAL", f"{type(error).__name__}: {error}", "this is a bug; run again with --debug and report it"
        )
    failure.__cause__ = error
    return failure


def _parser() -> argparse.ArgumentParser:
    from edge_sparse import __version__

    parser = Parser(
        prog="edge-sparse",
        description="Convert pruned networks to small group-sparse files, look into them, run and time them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edge-sparse {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=module.HELP,
            description=(module.__doc__ or "").strip(),
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print results and errors as JSON")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser
