"""``TokenCache``: a session of a decoder, and which tokens its caches hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.llm.attention import AttentionMode
from edge_sparse.session import Session

__all__ = ["TokenCache"]


class TokenCache:
    """Reads tokens into a session's caches and goes back to where a new text differs.

    Parameters
    ----------
    session : Session
        Of a plan with inputs ``ids`` and ``position``.
    mode : AttentionMode
        Says how far back it can go.
    context : int
        Tokens that fit.
    """

    def __init__(self, session: Session, mode: AttentionMode, context: int) -> None:
        self.session, self.mode, self.context = session, mode, context
        self.chunk = session.plan.symbol_max
        #: Tokens in the caches, in order.
        self.tokens: list[int] = []
        #: Window of attention modes that have one, fixed by the prompt that the caches began with.
        self.window = 1
        # More than ``tokens`` after a run that was interrupted.
        self._stored = 0
        #: The most that were stored since the caches were empty: what they overwrote is gone after going back, too.
        self._furthest = 0
        self._position = np.zeros(session.inputs[1].shape, np.int32)

    def go_back(self, tokens: Sequence[int]) -> int:
        """Keep what the caches share with the beginning of ``tokens`` and return its length.

        The last of ``tokens`` is never kept, because its logits are wanted.
        """
        shared, most = 0, min(len(self.tokens), len(tokens) - 1)
        while shared < most and self.tokens[shared] == tokens[shared]:
            shared += 1
        if 2 * shared < len(tokens) and self.window != self.mode.window_tokens(len(tokens)):
            # Most is read anyway: with the window that this text would have been given.
            shared = 0
        if shared < self._stored:
            shared = self._rewound(shared)
        del self.tokens[shared:]
        self._stored = shared
        if not shared:
            self._furthest = 0
            self.window = self.mode.window_tokens(len(tokens))
        return shared

    def _rewound(self, position: int) -> int:
        return self.mode.rewind(position, self.window, self._furthest, self.context, self.chunk)

    def read(self, tokens: Sequence[int]) -> npt.NDArray[Any]:
        """Append tokens to the caches, in runs of up to ``chunk``, and return the last run's output.

        There must be room for them.
        """
        for first in range(0, len(tokens), self.chunk):
            part = list(tokens[first : first + self.chunk])
            output = self._run(part)
        return output

    def _run(self, part: list[int]) -> npt.NDArray[Any]:
        if self._stored > len(self.tokens):
            # A run was interrupted: as after going back, some attention modes must begin earlier than where it stopped.
            again = self.tokens[:]
            usable = self._rewound(len(again))
            del self.tokens[usable:]
            self._stored = usable
            if usable < len(again):
                self.read(again[usable:])
        self._position[0] = len(self.tokens)
        self._position[1:] = self.window
        self._stored = len(self.tokens) + len(part)
        self._furthest = max(self._furthest, self._stored)
        outputs = self.session.run({"ids": np.array(part, np.int32), "position": self._position})
        self.tokens += part
        (output,) = outputs.values()
        return output
