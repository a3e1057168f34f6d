"""``TextStream``: tokens in, text out, never half a character and never a part of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from edge_sparse.llm.text_codec import TextCodec

__all__ = ["TextStream"]


class TextStream:
    """Decodes token after token.

    Text is held back while it may be the beginning of a stop string or of a character of several bytes.

    Parameters
    ----------
    codec : TextCodec
        Decoder of tokens.
    stop : sequence of str
        Texts at which the stream ends; they are not shown.
    previous : int
        The token before the first one.
    """

    def __init__(self, codec: TextCodec, stop: Sequence[str] = (), previous: int = -1) -> None:
        self.stopped = False
        self._codec, self._stop, self._previous = codec, tuple(stop), previous
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def push(self, token: int) -> str:
        """Return the text that is certain after one more token; ``stopped`` tells that a stop string was found."""
        shown = self._codec.piece(token, self._previous)
        self._previous = token
        return self._show(self._characters.decode(shown))

    def finish(self) -> str:
        """Return what was held back; an incomplete character becomes U+FFFD."""
        if self.stopped:
            return ""
        shown = self._show(self._characters.decode(b"", final=True))
        if not self.stopped:
            shown, self._held = shown + self._held, ""
        return shown

    def _show(self, text: str) -> str:
        if self.stopped:
            return ""
        text = self._held + text
        places = [place for place in (text.find(stop) for stop in self._stop) if place >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest proper beginning of ``stop`` with which ``text`` ends."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
