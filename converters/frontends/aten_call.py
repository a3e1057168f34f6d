"""One operator call of an exported torch program: arguments by name, shapes, and where a person finds it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

__all__ = ["Call", "Unsupported", "module_path", "source_of"]


class Unsupported(Exception):
    """A call that the converter has no rule for; the text says why when the operator itself is known."""


@dataclass(frozen=True)
class Call:
    """A call with its arguments under the names of the operator's schema, defaults filled in.

    Parameters
    ----------
    node : torch.fx.Node
        The call in the exported program.
    arguments : mapping of str to object
        Other nodes stand for tensors.
    """

    node: Any
    arguments: Mapping[str, Any]

    @staticmethod
    def of(node: Any) -> Call:
        """Return the call of an operator node."""
        arguments: dict[str, Any] = {}
        for index, argument in enumerate(node.target._schema.arguments):
            if index < len(node.args):
                arguments[argument.name] = node.args[index]
            else:
                arguments[argument.name] = node.kwargs.get(argument.name, argument.default_value)
        return Call(node, arguments)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument that some overloads do not have."""
        return self.arguments.get(name, default)

    def pair(self, name: str) -> tuple[int, int]:
        """Return an argument of one or two integers as a pair."""
        value = self.arguments[name]
        values = [value] if isinstance(value, int) else list(value)
        if len(values) == 1:
            values *= 2
        if len(values) != 2:
            raise Unsupported(f"{name} {values} is not two-dimensional")
        return int(values[0]), int(values[1])

    @property
    def operator(self) -> str:
        """Name of the operator, for example ``aten.conv2d.default``."""
        return str(self.node.target)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return shape_of(self.node)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor argument."""
        return shape_of(self.arguments[name])


def shape_of(node: Any) -> tuple[int, ...]:
    """Return the shape of a node's (first) tensor."""
    value = node.meta["val"]
    if isinstance(value, (tuple, list)):
        value = value[0]
    return tuple(int(length) for length in value.shape)


def module_path(node: Any) -> tuple[str, bool]:
    """Return the path of the innermost module that a node comes from, and whether it is one of ``torch.nn``."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return "", False
    path, kind = stack[-1]
    name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    built_in = name.startswith("torch.nn.modules.") and not name.startswith("torch.nn.modules.container.")
    return re.sub(r"@\d+", "", str(path)), built_in


def source_of(node: Any) -> str:
    """Return where a node comes from, for a person: ``layer1.0.conv1 (model.py:42)``."""
    path, _ = module_path(node)
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if "torch" not in PurePath(frame[0]).parts]
    if not own:
        return path
    file, line = own[-1]
    return f"{path} ({PurePath(file).name}:{line})".strip()
