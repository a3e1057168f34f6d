"""``ScoredMergeEncoder``: the tokenizer of llama2.c and SentencePiece BPE: the best-scored piece is joined first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from edge_sparse.errors import InputError
from edge_sparse.tokenizer import Tokenizer

__all__ = ["ScoredMergeEncoder"]


class ScoredMergeEncoder:
    """Joins neighbours into the piece of the highest score, of equal ones the leftmost, until none is left."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._numbers: dict[bytes, int] = {}
        for token, piece in enumerate(tokenizer.pieces):
            self._numbers.setdefault(piece, token)

    def encode(self, part: bytes, *, begins: bool) -> list[int]:
        """Return the tokens of UTF-8 bytes; the text's first part gets a space in front, if the record says so."""
        text = part.decode("utf-8")
        tokens: list[int] = []
        for character in " " + text if begins and self._tokenizer.dummy_prefix else text:
            number = self._numbers.get(character.encode())
            if number is not None:
                tokens.append(number)
            else:
                self._add_unknown(tokens, character)
        return self._joined(tokens)

    def _add_unknown(self, tokens: list[int], character: str) -> None:
        """Append a character without a piece: its bytes, or ``unknown`` once per run."""
        if self._tokenizer.byte_fallback:
            found = [self._numbers.get(b"<0x%02X>" % byte, -1) for byte in character.encode()]
        else:
            found = [self._tokenizer.unknown]
            if found[0] >= 0 and tokens[-1:] == found:
                return
        if min(found) < 0:
            message = f"the vocabulary has no token for {character!r}"
            raise InputError("TEXT_NOT_ENCODABLE", message, "leave the character out, or use another model")
        tokens += found

    def _joined(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens after all merges.

        A heap holds the possible merges by score and place; links lead to the neighbours that are still there. So a
        long text takes n log n steps instead of n squared.
        """
        pieces, scores = self._tokenizer.pieces, self._tokenizer.scores
        current: list[int] = list(tokens)
        after = [*range(1, len(current) + 1)]
        before = [*range(-1, len(current) - 1)]
        heap: list[tuple[float, int, int, int, int]] = []

        def offer(left: int) -> None:
            if left < 0 or after[left] >= len(current):
                return
            a, b = current[left], current[after[left]]
            if self._tokenizer.unknown in (a, b):
                return
            merged = self._numbers.get(pieces[a] + pieces[b])
            if merged is not None:
                heapq.heappush(heap, (-scores[merged], left, a, b, merged))

        for place in range(len(current) - 1):
            offer(place)
        while heap:
            _, left, a, b, merged = heapq.heappop(heap)
            right = after[left] if current[left] == a else len(current)
            if right >= len(current) or current[right] != b:
                continue  # one of the two has been joined with another since
            current[left], current[right] = merged, -1
            after[left] = after[right]
            if after[left] < len(current):
                before[after[left]] = left
            offer(before[left])
            offer(left)
        return [token for token in current if token >= 0]
