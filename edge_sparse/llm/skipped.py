"""What an attention mode left out, in words and as a number."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.llm.attention import AttentionMode
from edge_sparse.llm.delta import delta_sparsity
from edge_sparse.plan import Op
from edge_sparse.session import Session

__all__ = ["Skipped", "skipped"]


@dataclass(frozen=True)
class Skipped:
    """``share`` of all stored key elements need not be read (0 to 1), ``outside`` of those before the window."""

    share: float
    outside: float
    text: str


def skipped(mode: AttentionMode, session: Session, window: int) -> Skipped:
    """Return what attention skips for what a session's caches hold now."""
    if not any(step.op is Op.DELTA_ATTENTION for step in session.plan.steps):
        return Skipped(0.0, 0.0, "exact attention: nothing skipped")
    found = delta_sparsity(session, window)
    text = (
        f"delta attention: {found.of_all:.1%} of key elements unchanged and skipped "
        f"({found.outside:.1%} outside the window of {window} tokens), scores within theta * |q|_1 * scale"
    )
    return Skipped(found.of_all, found.outside, text)
