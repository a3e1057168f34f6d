"""Collects what cannot be converted, and tells it place by place."""

from __future__ import annotations

from typing import Any

from edge_sparse.converters.frontends.aten_call import source_of

from edge_sparse.errors import UnsupportedOperatorError

__all__ = ["Problems"]


class Problems:
    """Operators that cannot be converted, grouped by the line of the source that they come from."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, list[str]]] = {}

    def add(self, node: Any, reason: str) -> None:
        """Note an operator of the program; the reason may be empty when there is no rule at all."""
        operators = self._places.setdefault(source_of(node) or "somewhere", {})
        operators.setdefault(str(node.target), []).append(reason)

    def check(self) -> None:
        """Raise ``UnsupportedOperatorError`` with all places, if there are any."""
        if not self._places:
            return
        lines = [f"  {place}: {_listed(operators)}" for place, operators in self._places.items()]
        raise UnsupportedOperatorError(
            "OPERATOR_UNSUPPORTED",
            f"operators that cannot be converted, in {len(lines)} place(s):\n" + "\n".join(lines),
            "replace them in the source model, or cut the model before them",
        )


def _listed(operators: dict[str, list[str]]) -> str:
    parts = []
    for name, reasons in operators.items():
        # Loops that were unrolled repeat an operator hundreds of times; one reason tells enough.
        count = f" ({len(reasons)} times)" if len(reasons) > 1 else ""
        parts.append(name + count + (f", {reasons[0]}" if reasons[0] else ""))
    return "; ".join(parts)
