"""From a conversation to a prompt, by the file's chat template."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_sparse.errors import InputError, MissingExtraError
from edge_sparse.llm.template_worker import SECONDS_LIMIT

__all__ = ["PLAIN_STOP", "ChatPrompt", "chat_prompt"]

#: Ends the answers of models that have no chat template.
PLAIN_STOP = "\nUser:"
_ROLES = {"system": "System", "user": "User", "assistant": "Assistant"}
# The worker finds its modules where this process does, never in the folder that it happens to start in.
_COMMAND = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); import {0} as worker; worker.main()"


@dataclass(frozen=True)
class ChatPrompt:
    """A prompt, and further texts that end its answer."""

    text: str
    stop: tuple[str, ...] = ()


def chat_prompt(
    messages: Sequence[Mapping[str, str]], template: str = "", *, bos: str = "", eos: str = ""
) -> ChatPrompt:
    """Return the prompt that asks for the next answer.

    Parameters
    ----------
    messages : sequence of mappings
        Each with ``role`` ("system", "user" or "assistant") and ``content``, the oldest first.
    template : str
        Jinja; without one a plain dialogue is written, as ``docs/generation.md`` says.
    bos, eos : str
        What the template knows as ``bos_token`` and ``eos_token``.

    Raises
    ------
    InputError
        ``CHAT_MESSAGES``: they are not as above; ``CHAT_TEMPLATE``: the template fails, or takes too long or too much.
    MissingExtraError
        Templates need the package jinja2.
    """
    if not messages:
        raise InputError("CHAT_MESSAGES", "there is no message", "pass at least one from the user")
    for message in messages:
        if not isinstance(message.get("content"), str) or message.get("role") not in _ROLES:
            known = ", ".join(_ROLES)
            raise InputError("CHAT_MESSAGES", f"a message is {str(message)[:80]}", f"pass role ({known}) and content")
    if not template:
        lines = [f"{_ROLES[message['role']]}: {message['content']}" for message in messages]
        return ChatPrompt("\n".join([*lines, "Assistant:"]), (PLAIN_STOP,))
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError("EXTRA_MISSING", "chat templates need jinja2", "pip install 'edge_sparse[llm]'")
    variables = {
        "messages": [{"role": message["role"], "content": message["content"]} for message in messages],
        "add_generation_prompt": True,
        "bos_token": bos,
        "eos_token": eos,
    }
    return ChatPrompt(_rendered(template, variables))


def _rendered(template: str, variables: Mapping[str, object]) -> str:
    try:
        request = json.dumps({"template": template, "variables": variables})
        command = _COMMAND.format("edge_sparse.llm.template_worker")
        process = subprocess.run(
            [sys.executable, "-I", "-c", command, json.dumps(sys.path)],
            input=request.encode(),
            capture_output=True,
            timeout=4 * SECONDS_LIMIT,
            check=False,
        )
        answer = json.loads(process.stdout) if process.stdout else {"error": "it takes too long or too much memory"}
    except subprocess.TimeoutExpired:
        answer = {"error": f"it takes more than {4 * SECONDS_LIMIT} seconds"}
    except (OSError, ValueError) as error:
        answer = {"error": str(error)}
    if "error" in answer:
        message = f"the file's chat template fails: {answer['error']}"
        raise InputError("CHAT_TEMPLATE", message, "change the messages, or write the prompt yourself and generate")
    text = str(answer["text"])
    return text
