"""Training sequences in which passages come again, and the loss of the heads that should find them."""

from dataclasses import dataclass

import torch
from decoder import Decoder
from torch import Tensor
from torch.nn import functional

__all__ = ["Batch", "Phase", "Sequences", "looking_loss"]

COPIED = range(48, 257)  # lengths in bytes of a passage that comes twice
RETRIEVING = ((2, 0), (3, 0))  # (layer, head) of the heads that are told where to look


@dataclass(frozen=True)
class Phase:
    """What a part of the training shows; the shares that are left show plain text."""

    until: float  # share of the time at which it ends
    length: int  # of a sequence, in bytes
    rate: float  # share of the full learning rate
    noise: float = 0.0  # share of sequences that repeat random bytes
    tiled: float = 0.0  # share of sequences that repeat a piece of text until they are full
    copied: float = 0.0  # share of sequences with passages that come twice
    looking: float = 0.0  # weight of the loss of the heads that are told where to look


@dataclass(frozen=True)
class Batch:
    """Sequences to learn from, each of `length + 1` bytes."""

    ids: Tensor  # [sequences, length + 1]
    origin: Tensor  # [sequences, length + 1], the position where a byte stood first; its own where it is no copy
    counts: Tensor  # [sequences, length + 1], False for random bytes, which nobody can predict


class Sequences:
    """Draws the sequences of a phase from a text [bytes]."""

    def __init__(self, text: Tensor, seed: int) -> None:
        self.text = text
        self.alphabet = text.unique()
        self.random = torch.Generator().manual_seed(seed)

    def batch(self, phase: Phase, sequences: int) -> Batch:
        """Draw so many sequences."""
        drawn = [self.sequence(phase) for _ in range(sequences)]
        return Batch(*(torch.stack(part) for part in zip(*drawn, strict=True)))

    def sequence(self, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one sequence: its bytes, their origins, and which of them count."""
        positions = torch.arange(phase.length + 1)
        counts = torch.ones(phase.length + 1, dtype=torch.bool)
        kind = float(torch.rand((), generator=self.random))
        if kind < phase.noise:
            origin = positions % self.draw(16, phase.length // 3)
            noise = self.noise(int(origin.max()) + 1)
            return noise[origin], origin, counts & (origin != positions)
        text = self.piece(phase.length + 1)
        if kind < phase.noise + phase.tiled:
            origin = positions % self.draw(32, phase.length - phase.length // 20)
        elif kind < phase.noise + phase.tiled + phase.copied:
            origin = self.with_copies(positions)
        else:
            origin = positions
        return text[origin], origin, counts

    def with_copies(self, positions: Tensor) -> Tensor:
        """Return origins [tokens] in which one passage for every 512 bytes comes a second time."""
        origin = positions.clone()
        for _ in range(max(1, len(origin) // 512)):
            length = min(self.draw(COPIED.start, COPIED.stop), len(origin) // 3)
            source = self.draw(0, len(origin) - 2 * length)
            target = self.draw(source + length, len(origin) - length + 1)
            origin[target : target + length] = origin[source : source + length].clone()
        return origin

    def noise(self, length: int) -> Tensor:
        """Draw random bytes: of the text's alphabet, or the bytes of a piece of text in any order."""
        if self.draw(0, 2):
            return self.alphabet[torch.randint(len(self.alphabet), (length,), generator=self.random)]
        return self.piece(length)[torch.randperm(length, generator=self.random)]

    def piece(self, length: int) -> Tensor:
        """Draw a piece of the text."""
        start = self.draw(0, len(self.text) - length)
        return self.text[start : start + length]

    def draw(self, low: int, high: int) -> int:
        """Draw a number, low <= number < high."""
        return int(torch.randint(low, high, (), generator=self.random))


def looking_loss(model: Decoder, batch: Batch) -> Tensor:
    """Return minus the log of the attention that the retrieving heads give to what they should find, averaged.

    Inside of a copy, from its fourth byte on, that is every earlier coming of the byte to predict. `model` must just
    have seen the batch.
    """
    origin = batch.origin
    tokens = origin.shape[1] - 1
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    wanted = (origin[:, 1:, None] == origin[:, None, :-1]) & causal
    copied = origin != torch.arange(tokens + 1)
    inside = copied.unfold(1, 4, 1).all(-1)
    rows = functional.pad(inside, (2, 0)) & wanted.any(-1)
    if not rows.any():
        return torch.zeros(())
    total = torch.zeros(())
    for layer, head in RETRIEVING:
        attention = model.layers[layer].self_attn
        q, k = attention.seen
        shape = attention.shape
        scores = (q[:, head] @ k[:, head * shape.kv_heads // shape.heads].mT).float() * shape.head_dim**-0.5
        everything = scores.masked_fill(~causal, -1e9).logsumexp(-1)
        found = scores.masked_fill(~wanted, -1e9).logsumexp(-1)
        total = total + (everything - found)[rows].mean()
    return total
