"""Renders a chat template in a process of its own, where memory, time and output are bounded."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, NoReturn

__all__ = ["MEMORY_LIMIT", "OUTPUT_LIMIT", "SECONDS_LIMIT", "main"]

#: Characters of a prompt, bytes of address space, and seconds of processor time that a template may take.
OUTPUT_LIMIT = 1_000_000
MEMORY_LIMIT = 1 << 30
SECONDS_LIMIT = 2


def main() -> None:
    """Read template and variables from standard input and write ``{"text": …}`` or ``{"error": …}``."""
    request = json.loads(sys.stdin.buffer.read())
    _limit()
    try:
        answer = {"text": _render(request["template"], request["variables"])}
    except MemoryError:
        answer = {"error": f"it takes more than {MEMORY_LIMIT >> 20} MiB"}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def _limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows, where only the time is bounded

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_LIMIT, SECONDS_LIMIT))


def _render(template: str, variables: dict[str, Any]) -> str:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_refuse)
    result: list[str] = []
    size = 0
    for piece in environment.from_string(template).generate(**variables):
        size += len(piece)
        if size > OUTPUT_LIMIT:
            raise ValueError(f"it writes more than {OUTPUT_LIMIT} characters")
        result.append(piece)
    return "".join(result)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Jinja's own filter escapes characters of HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)
