"""Decoders with random weights, for measurements of speed and size at shapes whose weights are not at hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies
from edge_sparse.converters.decoder.plan import DecoderWeights, decoder_model
from edge_sparse.converters.decoder.stacking import stack_rows
from edge_sparse.converters.pruning.groups import expand_groups

from edge_sparse.format.packing import pack_dense
from edge_sparse.plan import DType, Model, SparseMatrix

__all__ = ["LLAMA_3_2_1B", "random_model"]

#: The shape of Llama-3.2-1B, which most measurements of small decoders use.
LLAMA_3_2_1B = DecoderConfig(
    architecture="LlamaForCausalLM",
    dim=2048,
    layers=16,
    heads=32,
    kv_heads=8,
    head_dim=64,
    ffn=8192,
    vocab=128256,
    context=131072,
    epsilon=1e-5,
    frequencies=inverse_frequencies(
        64,
        500000.0,
        {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    ),
)
#: Rows that are drawn and packed; larger matrices repeat them, which no kernel notices.
_POOL_ROWS = 512
_NUMBERS = {"f32": DType.F32, "f16": DType.F16, "s8": DType.S8, "s4": DType.S4}


def random_model(
    config: DecoderConfig = LLAMA_3_2_1B,
    *,
    dtype: str = "s4",
    head_dtype: str | None = None,
    sparsity: float = 0.0,
    head_sparsity: float | None = None,
    group: int = 16,
    segment: int = 32,
    chunk: int = 128,
    context: int = 8192,
    seed: int = 0,
) -> Model:
    """Return a model in memory whose weights and masks are random.

    Blocks of 512 rows are drawn and packed once per number of columns, and repeated: a model of a billion
    weights takes seconds. Activations keep a reasonable size, so nothing overflows.

    Parameters
    ----------
    config : DecoderConfig
        Llama-3.2-1B's by default.
    dtype, head_dtype : {"f32", "f16", "s8", "s4"}
        Type of the weights; the head's is the same by default.
    sparsity, head_sparsity : float
        Share of the groups that is dropped, at random; the head's is the same by default. A tied head that is
        pruned, or of another type than its embedding, gets a matrix of its own.
    group, segment : int
        Rows per group; kept columns per scale of integer weights.
    chunk, context : int
        Largest number of tokens of a run, and rows of the caches.
    seed : int
    """
    generator = np.random.default_rng(seed)
    pools: dict[tuple[int, str, float], SparseMatrix] = {}

    def matrix(name: str, rows: int, columns: int, kind: str, share: float) -> SparseMatrix:
        key = (columns, kind, share)
        if key not in pools:
            pools[key] = _pool(generator, columns, kind, share, group, segment)
        return _repeated(name, pools[key], rows)

    head_kind, head_share = head_dtype or dtype, sparsity if head_sparsity is None else head_sparsity
    shared = config.tied and dtype in ("s8", "s4") and not head_share and head_kind in ("s8", dtype)
    matrices: dict[str, SparseMatrix] = {}
    vectors: dict[str, npt.NDArray[np.generic]] = {}
    for name, shape in config.tensors.items():
        if len(shape) == 1:
            vectors[name] = np.full(shape, 0.0 if name.endswith("_bias") else 1.0, np.float32)
        elif name == "embedding" and dtype in ("f32", "f16"):
            rows = generator.standard_normal((_POOL_ROWS, shape[1]), np.float32).astype(_NUMBERS[dtype].numpy)
            vectors[name] = np.resize(rows, shape)
        elif name == "embedding":
            matrices[name] = matrix(name, *shape, head_kind if shared else "s8", 0.0)
        elif name != "head":
            matrices[name] = matrix(name, *shape, dtype, sparsity)
    if not shared:
        matrices["head"] = matrix("head", config.vocab, config.dim, head_kind, head_share)
    metadata = {"architecture": config.architecture, "weights": "random", "dtype": dtype, "sparsity": sparsity}
    weights = DecoderWeights(matrices, vectors)
    return decoder_model(config, weights, chunk=chunk, context=context, metadata=metadata)


def _pool(
    generator: np.random.Generator, columns: int, kind: str, sparsity: float, group: int, segment: int
) -> SparseMatrix:
    weights = generator.standard_normal((_POOL_ROWS, columns), np.float32) / np.float32(columns**0.5)
    if sparsity:
        weights *= expand_groups(generator.random((_POOL_ROWS // group, columns)) >= sparsity, _POOL_ROWS, group)
    dtype = _NUMBERS[kind]
    return pack_dense("", weights, group, dtype=dtype, segment=segment if dtype in (DType.S8, DType.S4) else 0)


def _repeated(name: str, pool: SparseMatrix, rows: int) -> SparseMatrix:
    """Return a matrix of ``rows`` rows that repeats the pool's; the last block is cut where a strip ends."""
    blocks = [pool] * (rows // pool.rows)
    rest = rows % pool.rows
    if rest:
        blocks.append(_first_rows(pool, rest))
    return stack_rows(name, blocks)


def _first_rows(matrix: SparseMatrix, rows: int) -> SparseMatrix:
    from edge_sparse.format.packing import dense

    return pack_dense("", dense(matrix)[:rows], matrix.bands[0].group, dtype=matrix.dtype, segment=matrix.segment)
