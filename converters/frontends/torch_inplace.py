"""Makes an exported program free of in-place operators, where it is plain to see that this changes nothing."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any

import torch

__all__ = ["make_pure"]


def make_pure(exported: Any, rules: Mapping[str, object], fresh: Collection[str]) -> bool:
    """Replace in-place operators, and tell whether the program now consists of pure operators with a rule.

    torch's own decomposition does the same for every program, but traces it once more, which takes longer than all
    the rest of reading a network. Here an operator may change its operand only if that is newly made and nobody else
    reads it.

    Parameters
    ----------
    exported : ExportedProgram
        Changed only when the answer is yes.
    rules : mapping of str to rule
        Operators that are understood.
    fresh : collection of str
        Operators whose result never shares memory with an operand.
    """
    replacements: dict[Any, Any] = {}
    for node in exported.graph_module.graph.nodes:
        if node.op not in ("call_function", "get_attr") or node.target is operator.getitem:
            continue
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return False
        if schema.is_mutable:
            replacements[node] = _pure_operator(node, rules, fresh)
            if replacements[node] is None:
                return False
        elif node.users and str(node.target) not in rules:
            return False
    for node, target in replacements.items():
        node.target = target
    return True


def _pure_operator(node: Any, rules: Mapping[str, object], fresh: Collection[str]) -> Any | None:
    source = node.args[0]
    name = str(node.target.overloadpacket).removeprefix("aten.")
    overload = node.target._overloadname
    pure = f"aten.{name.removesuffix('_')}.{overload}"
    # A replaced operator is looked at under its old name, so its result counts as fresh under the new one.
    made = f"{source.target}".replace("_.", ".") if source.op == "call_function" else ""
    if not name.endswith("_") or pure not in rules or made not in fresh or set(source.users) != {node}:
        return None
    return getattr(getattr(torch.ops.aten, name.removesuffix("_")), overload)
