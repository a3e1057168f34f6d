"""``convert_decoder``: from a folder or checkpoint to an ``.egs`` file, in little memory."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from edge_sparse.converters.decoder.checkpoint import Checkpoint
from edge_sparse.converters.decoder.options import DecoderOptions
from edge_sparse.converters.decoder.plan import decoder_model
from edge_sparse.converters.decoder.quality import SAMPLE_TEXT, Quality, exponential, mean_loss, score_session
from edge_sparse.converters.decoder.result import DecoderResult
from edge_sparse.converters.decoder.spool import Spool
from edge_sparse.converters.decoder.weights import PackedWeights, capacity, pack_weights
from edge_sparse.converters.frontends.load_decoder import load_decoder
from edge_sparse.converters.pruning.options import parse_group

from edge_sparse.errors import ConvertError, InputError, MissingExtraError
from edge_sparse.format.writer import write_model
from edge_sparse.output_file import check_writable
from edge_sparse.plan import Model, Tokenizer

__all__ = ["Progress", "convert_decoder"]

#: Called with (stage, done share); the stages are read, pack, write, before and after.
Progress = Callable[[str, float], None]
#: Models up to this size are compared with their float32 twin, and the others measured on a shorter text.
_SMALL = 200_000_000
_TOKENS, _FEW_TOKENS = 4096, 512
#: Of a text as much is read as no tokenizer makes fewer tokens of.
_TEXT_BYTES = 1 << 20


def convert_decoder(
    source: str | Path,
    output: str | Path | None = None,
    *,
    dtype: str = "f32",
    head_dtype: str | None = None,
    sparsity: float | None = None,
    head_sparsity: float | None = None,
    group: str | int | None = None,
    segment: int = 32,
    chunk: int = 128,
    context: int | None = None,
    tokenizer: str | Path | None = None,
    text: str | Path | None = None,
    perplexity: bool | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> DecoderResult:
    """Convert a decoder language model; prune and round its weights if asked to.

    Weights are read, pruned and packed block by block, so the memory holds a few of them at a time whatever the size of
    the model; until the file is complete, the disk holds its values twice.

    Parameters
    ----------
    source : path
        A Hugging Face folder (Llama, Mistral, Qwen2, Qwen3) or a llama2.c checkpoint.
    output : path, optional
        The ``.egs`` file. Without it the result is kept as ``DecoderResult.model``.
    dtype, head_dtype : {"f32", "f16", "s8", "s4"}
        Type of the stored weights; the head's is the same by default.
    sparsity, head_sparsity : float, optional
        Share of the groups to drop from every matrix, in [0, 1); the head's is the same by default. The embedding
        stays whole.
    group : str or int, optional
        Rows that are dropped together, ``"gs16x1"`` (the default) or 16.
    segment : int
        Kept columns that share a scale of integer weights.
    chunk, context : int
        Tokens that a run may bring; rows of the caches, by default the model's context, 8192 at most.
    tokenizer : path, optional
        ``tokenizer.json``, SentencePiece ``.model`` or llama2.c ``.bin``; by default what lies in the folder.
    text : path, optional
        Held-out text to measure perplexity on; a paragraph of "Alice in Wonderland" by default.
    perplexity : bool, optional
        Measure it before and after. By default if weights are pruned or rounded to integers, or a text is named; of
        models above 200 million weights only after. Without a tokenizer it cannot be measured.
    overwrite : bool
        Replace an existing file.
    threads : int, optional
        For the measurement; all processors by default.
    progress : callable, optional
        Called with (stage, done share).

    Raises
    ------
    ConvertError
        The source, its tokenizer or an option cannot be converted; ``TEXT_UNREADABLE``.
    OutputFileError
        The file exists already or cannot be written; nothing half-written stays.
    """
    options = DecoderOptions(
        dtype=dtype,
        head_dtype=head_dtype,
        sparsity=sparsity or 0.0,
        head_sparsity=head_sparsity,
        group=parse_group(group) if isinstance(group, str) else group or 16,
        segment=segment,
        chunk=chunk,
        context=context,
    )
    path = None if output is None else Path(output)
    if path is not None:
        check_writable(path, overwrite=overwrite)
    tell = progress or (lambda stage, share: None)
    tell("read", 0.0)
    checkpoint, found = load_decoder(source, tokenizer)
    options.rows(checkpoint.config)
    wanted = (options.lossy or text is not None) if perplexity is None else perplexity
    ids = _text_tokens(found, text, forced=perplexity is True) if wanted else []
    folder = Path(tempfile.gettempdir()) if path is None else Path(os.path.realpath(path)).parent
    with Spool(folder, capacity(checkpoint)) as spool:
        packed = pack_weights(checkpoint, options, spool, lambda share: tell("pack", share))
        model = _model(checkpoint, options, packed, found)
        tell("write", 0.0)
        size = None if path is None else write_model(model, path, overwrite=overwrite)
    measure = _Measure(checkpoint, options, folder, threads or os.cpu_count() or 1, tell)
    quality = measure(model, ids, text, both=perplexity is True) if ids else None
    return DecoderResult.of(path, size, checkpoint, options, packed, model, quality)


def _model(checkpoint: Checkpoint, options: DecoderOptions, packed: PackedWeights, found: Tokenizer | None) -> Model:
    config = checkpoint.config
    head = options.head
    metadata = {
        "architecture": config.architecture,
        "parameters": config.parameters,
        "trained_context": config.context,
        "dtype": options.dtype,
        "head_dtype": options.head_dtype or options.dtype,
        "sparsity": options.sparsity,
        "head_sparsity": head.sparsity,
        "group": f"gs{options.group}x1",
    }
    rows = options.rows(config)
    return decoder_model(config, packed.weights, chunk=options.chunk, context=rows, tokenizer=found, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class _Measure:
    """Measures perplexity of a converted model and of its float32 twin."""

    checkpoint: Checkpoint
    options: DecoderOptions
    folder: Path
    threads: int
    tell: Progress

    def __call__(self, model: Model, ids: list[int], text: str | Path | None, *, both: bool) -> Quality:
        """Return the perplexity on the first tokens of a text."""
        small = self.checkpoint.config.parameters <= _SMALL
        ids = ids[: (_TOKENS if small else _FEW_TOKENS) + 1]
        after = self._loss(model, ids, "after")
        before = self._loss(self._twin(), ids, "before") if small or both else None
        name = "the built-in paragraph" if text is None else str(text)
        return Quality(name, len(ids) - 1, None if before is None else exponential(before), exponential(after))

    def _loss(self, model: Model, ids: list[int], stage: str) -> float:
        self.tell(stage, 0.0)
        with score_session(model, self.threads, len(ids)) as session:
            return mean_loss(session, ids, lambda share: self.tell(stage, share))

    def _twin(self) -> Model:
        """Return the same model with whole float32 weights."""
        exact = DecoderOptions(group=16, chunk=self.options.chunk, context=self.options.rows(self.checkpoint.config))
        with Spool(self.folder, capacity(self.checkpoint)) as spool:
            packed = pack_weights(self.checkpoint, exact, spool, lambda share: None)
        return _model(self.checkpoint, exact, packed, None)


def _text_tokens(tokenizer: Tokenizer | None, text: str | Path | None, *, forced: bool) -> list[int]:
    """Return the tokens of the text to measure on; none where the built-in one cannot be encoded, unless ``forced``."""
    if tokenizer is None:
        return []
    from edge_sparse.llm.text_codec import TextCodec

    try:
        ids = TextCodec(tokenizer).encode(SAMPLE_TEXT if text is None else _read_text(Path(text)))
    except (InputError, MissingExtraError):
        if forced or text is not None:
            raise
        return []
    if len(ids) < 2:
        raise ConvertError("TEXT_UNREADABLE", f"{text} has fewer than two tokens", "name a longer text")
    return ids


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes()[:_TEXT_BYTES].decode("utf-8", "ignore")
    except OSError as error:
        raise ConvertError("TEXT_UNREADABLE", f"{path}: {error.strerror}", "check the path") from None
