"""Reader of llama2.c checkpoints: seven numbers, then float32 weights one behind the other ("version 0")."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from edge_sparse.converters.decoder.checkpoint import Checkpoint, StoredTensor
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies

from edge_sparse.errors import ConvertError

__all__ = ["read_llama2c"]

_HEADER_BYTES = 28
#: First bytes of the later, quantised formats of the same program.
_LATER = 0x616B3432


def read_llama2c(path: Path) -> Checkpoint:
    """Return configuration and weights of a checkpoint.

    Raises
    ------
    ConvertError
        ``CHECKPOINT_UNREADABLE``, ``CHECKPOINT_VERSION``, ``CHECKPOINT_SIZE`` when the file is no such checkpoint or
        cut off; ``CONFIG_VALUE`` for impossible numbers in its header.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        raise ConvertError("CHECKPOINT_UNREADABLE", f"{path}: {error.strerror}", "check the path") from None
    if len(head) < _HEADER_BYTES:
        raise ConvertError("CHECKPOINT_SIZE", f"{path} has only {size} bytes", "download it again")
    header = np.frombuffer(head, "<i4").tolist()
    if header[0] == _LATER:
        raise ConvertError(
            "CHECKPOINT_VERSION", f"{path} has a later format of llama2.c", "export it with --version 0, in float32"
        )
    config = _config(header)
    places = _places(config, tied=header[5] > 0, context=header[6])
    needed = _HEADER_BYTES + 4 * max(first + count for first, count in places.values())
    if size != needed:
        message = f"{path} has {size} bytes, its header asks for {needed}"
        raise ConvertError("CHECKPOINT_SIZE", message, "check that it is a llama2.c checkpoint, or download it again")
    return Checkpoint(config, _tensors(config, path, places))


def _config(header: list[int]) -> DecoderConfig:
    dim, ffn, layers, heads, kv_heads, vocab, context = header
    if min(dim, ffn, layers, heads, kv_heads, context) <= 0 or vocab == 0 or dim % heads:
        raise ConvertError("CONFIG_VALUE", f"the header {header} is none of a llama2.c checkpoint", "check the file")
    head_dim = dim // heads
    return DecoderConfig(
        architecture="llama2.c",
        dim=dim,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=ffn,
        vocab=abs(vocab),
        context=context,
        epsilon=1e-5,
        frequencies=inverse_frequencies(head_dim, 10000.0),
        interleaved=True,
        tied=vocab > 0,
    )


def _places(config: DecoderConfig, *, tied: bool, context: int) -> dict[str, tuple[int, int]]:
    """Return the first number and the count of every array, all layers together, in the order of the file."""
    parts = ("attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up")
    shapes = config.tensors
    sizes = {part: config.layers * math.prod(shapes[f"layers.0.{part}"]) for part in parts}
    counts = {"embedding": config.vocab * config.dim, **sizes, "norm": config.dim}
    # Tables of cosines and sines that older programs read.
    counts["rotations"] = context * config.head_dim
    if not tied:
        counts["head"] = config.vocab * config.dim
    places, first = {}, 0
    for name, count in counts.items():
        places[name] = (first, count)
        first += count
    return places


def _tensors(config: DecoderConfig, path: Path, places: dict[str, tuple[int, int]]) -> dict[str, StoredTensor]:
    result = {}
    for name, shape in config.tensors.items():
        _, _, part = name.rpartition(".")
        first, _ = places[part]
        if name.startswith("layers."):
            first += int(name.split(".")[1]) * math.prod(shape)
        result[name] = StoredTensor(name, path, _HEADER_BYTES + 4 * first, shape, np.dtype("<f4"))
    return result
