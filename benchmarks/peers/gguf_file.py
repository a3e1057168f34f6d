"""A GGUF file of a Llama decoder with random weights, for llama.cpp."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from edge_sparse.converters.decoder.config import DecoderConfig
from gguf.quants import dequantize, quantize

__all__ = ["nmse_q4_0", "write_gguf"]

#: Rows that are drawn and quantised; larger matrices repeat them, which no kernel notices.
_POOL_ROWS = 512
_TYPES = {"q4_0": gguf.GGMLQuantizationType.Q4_0, "q8_0": gguf.GGMLQuantizationType.Q8_0}


def write_gguf(
    config: DecoderConfig, path: Path, *, body: str = "q4_0", head: str = "q8_0", context: int, texts: bool = False
) -> None:
    """Write a model whose embedding is its head, with a vocabulary of made-up texts or of none."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.epsilon)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(config.vocab)
    if texts:
        _add_texts(writer, config.vocab)
    else:
        writer.add_tokenizer_model("none")
    random = np.random.default_rng(0)
    pools: dict[tuple[int, str], npt.NDArray[np.uint8]] = {}

    def add(name: str, rows: int, columns: int, kind: str) -> None:
        if (columns, kind) not in pools:
            weights = random.standard_normal((_POOL_ROWS, columns), np.float32) / np.float32(columns**0.5)
            pools[columns, kind] = quantize(weights, _TYPES[kind])
        pool = pools[columns, kind]
        # Raw bytes, so that the shape says how many of them a row takes.
        writer.add_tensor(name, np.resize(pool, (rows, pool.shape[1])), raw_dtype=_TYPES[kind])

    def add_norm(name: str) -> None:
        writer.add_tensor(name, np.ones(config.dim, np.float32))

    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    add("token_embd.weight", config.vocab, config.dim, head)
    add_norm("output_norm.weight")
    for layer in range(config.layers):
        block = f"blk.{layer}"
        add_norm(f"{block}.attn_norm.weight")
        add(f"{block}.attn_q.weight", query, config.dim, body)
        add(f"{block}.attn_k.weight", key, config.dim, body)
        add(f"{block}.attn_v.weight", key, config.dim, body)
        add(f"{block}.attn_output.weight", config.dim, query, body)
        add_norm(f"{block}.ffn_norm.weight")
        add(f"{block}.ffn_gate.weight", config.ffn, config.dim, body)
        add(f"{block}.ffn_up.weight", config.ffn, config.dim, body)
        add(f"{block}.ffn_down.weight", config.dim, config.ffn, body)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_texts(writer: gguf.GGUFWriter, vocab: int) -> None:
    """Add ASCII, so that random tokens make valid UTF-8, and a word for every other token."""
    kinds = gguf.TokenType
    tokens = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    tokens += [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(128)]
    # This character stands for a space; words are made of shorter words.
    tokens.append(("\u2581", kinds.NORMAL))
    tokens += [(f"\u2581{number}", kinds.NORMAL) for number in range(vocab - len(tokens))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([-float(number) for number in range(vocab)])
    writer.add_token_types([kind for _, kind in tokens])


def nmse_q4_0(weights: npt.NDArray[np.float32]) -> float:
    """Return the mean square of Q4_0's errors over that of the weights."""
    error = dequantize(quantize(weights, _TYPES["q4_0"]), _TYPES["q4_0"]) - weights
    return float((error.astype(float) ** 2).mean() / (weights.astype(float) ** 2).mean())
