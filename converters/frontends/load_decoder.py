"""Finds a decoder by what a person types: a Hugging Face folder or a llama2.c checkpoint, and its tokenizer."""

from __future__ import annotations

from pathlib import Path

from edge_sparse.converters.decoder.checkpoint import Checkpoint
from edge_sparse.converters.decoder.tokenizer_files import tokenizer_from_file
from edge_sparse.converters.frontends.huggingface import read_huggingface
from edge_sparse.converters.frontends.llama2c import read_llama2c

from edge_sparse.errors import ConvertError
from edge_sparse.plan import Tokenizer
from edge_sparse.tokenizer import TokenizerKind

__all__ = ["is_decoder", "load_decoder"]

#: Share of the vocabulary that may have no piece: sizes are rounded up for the sake of matrix kernels.
_UNNAMED = 1 / 64


def is_decoder(source: str) -> bool:
    """Tell whether a path is a folder, or a ``.bin`` file that is none of torch's."""
    path = Path(source)
    if path.is_dir():
        return True
    if path.suffix.lower() != ".bin" or not path.is_file():
        return False
    with open(path, "rb") as file:
        return not _of_torch(file.read(4))


def _of_torch(head: bytes) -> bool:
    """Tell whether a file begins as torch writes it, an archive or a pickle: unpickling may run any code."""
    # The first number of a llama2.c file is below 65536; a pickle goes on with an instruction.
    return head == b"PK\3\4" or (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and head[2:4] != b"\0\0")


def load_decoder(source: str | Path, tokenizer: str | Path | None = None) -> tuple[Checkpoint, Tokenizer | None]:
    """Return a decoder's checkpoint and its tokenizer, if there is one.

    Parameters
    ----------
    source : path
        A folder with ``config.json`` and safetensors, or a llama2.c checkpoint.
    tokenizer : path, optional
        ``tokenizer.json``, SentencePiece ``.model`` or llama2.c ``.bin``; by default what lies in the folder. A
        folder without any whose vocabulary are the 256 bytes gets the tokenizer of bytes.

    Raises
    ------
    ConvertError
        What the readers raise; ``TOKENIZER_VOCABULARY``: the tokenizer belongs to another model.
    """
    path = Path(source)
    checkpoint = read_huggingface(path) if path.is_dir() else read_llama2c(path)
    found = _find(path) if tokenizer is None else Path(tokenizer)
    vocabulary = checkpoint.config.vocab
    if found is None:
        return checkpoint, Tokenizer(TokenizerKind.BYTES, ()) if vocabulary == 256 and path.is_dir() else None
    result = tokenizer_from_file(found)
    pieces = len(result.pieces)
    if not (1 - _UNNAMED) * vocabulary <= pieces <= vocabulary:
        raise ConvertError(
            "TOKENIZER_VOCABULARY",
            f"{found} has {pieces} pieces, the model has {vocabulary} tokens",
            "name the tokenizer that the model was trained with",
        )
    return checkpoint, result


def _find(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    names = (path / name for name in ("tokenizer.json", "tokenizer.model"))
    return next((name for name in names if name.is_file()), None)
