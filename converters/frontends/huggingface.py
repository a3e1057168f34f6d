"""Reader of Hugging Face folders: ``config.json`` and safetensors, whole or in shards."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_sparse.converters.decoder.checkpoint import Checkpoint, StoredTensor
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies
from edge_sparse.converters.frontends.safetensors_file import read_safetensors

from edge_sparse.errors import ConvertError, UnsupportedOperatorError

__all__ = ["ARCHITECTURES", "read_huggingface"]

#: Architectures that compute what ``DecoderConfig`` describes.
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_LAYER = {
    "attention_norm": "input_layernorm.weight",
    "ffn_norm": "post_attention_layernorm.weight",
    "q_norm": "self_attn.q_norm.weight",
    "k_norm": "self_attn.k_norm.weight",
    **{name: f"self_attn.{name}_proj.weight" for name in "qkvo"},
    **{f"{name}_bias": f"self_attn.{name}_proj.bias" for name in "qkvo"},
    **{name: f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")},
    **{f"{name}_bias": f"mlp.{name}_proj.bias" for name in ("gate", "up", "down")},
}
_OUTER = {"embedding": "model.embed_tokens.weight", "norm": "model.norm.weight", "head": "lm_head.weight"}


def read_huggingface(folder: Path) -> Checkpoint:
    """Return configuration and weights of a model folder.

    Raises
    ------
    UnsupportedOperatorError
        ``ARCHITECTURE_UNKNOWN``: the message names it and the known ones.
    ConvertError
        ``CONFIG_*``, ``ROPE_UNSUPPORTED``, ``SHARD_*``, ``TENSOR_*``.
    """
    values = _json(folder / "config.json", "CONFIG_MISSING")
    _architecture(values)
    stored = _tensors(folder)
    # Where the configuration is silent, a head of its own says that it is not the embedding.
    config = _config({"tie_word_embeddings": _OUTER["head"] not in stored, **values})
    names = {name: _source_name(name) for name in config.tensors}
    return Checkpoint(config, {name: stored[source] for name, source in names.items() if source in stored})


def _source_name(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    _, layer, part = name.split(".")
    return f"model.layers.{layer}.{_LAYER[part]}"


def _json(path: Path, missing: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConvertError(missing, f"there is no file {path}", "name a folder that holds a whole model") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConvertError("CONFIG_UNREADABLE", f"{path} cannot be read: {error}", "download it again") from None
    if not isinstance(value, dict):
        raise ConvertError("CONFIG_UNREADABLE", f"{path} holds no object", "download it again")
    return value


def _architecture(values: Mapping[str, Any]) -> str:
    """Return the name of an architecture that can be read."""
    architectures = values.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else values.get("model_type")
    if named not in ARCHITECTURES:
        raise UnsupportedOperatorError(
            "ARCHITECTURE_UNKNOWN",
            f"architecture {named!r} is not supported",
            f"known architectures are {', '.join(ARCHITECTURES)}",
        )
    return str(named)


def _config(values: Mapping[str, Any]) -> DecoderConfig:
    named = _architecture(values)
    activation = values.get("hidden_act", "silu")
    if activation != "silu":
        raise UnsupportedOperatorError(
            "ACTIVATION_UNSUPPORTED", f"feed-forward activation {activation!r} is not supported", "only silu is"
        )
    heads, dim = _count(values, "num_attention_heads"), _count(values, "hidden_size")
    head_dim = _count(values, "head_dim", dim // heads)
    projections = bool(values.get("attention_bias", False))
    qwen2 = named == "Qwen2ForCausalLM"
    return DecoderConfig(
        architecture=named,
        dim=dim,
        layers=_count(values, "num_hidden_layers"),
        heads=heads,
        kv_heads=_count(values, "num_key_value_heads", heads),
        head_dim=head_dim,
        ffn=_count(values, "intermediate_size"),
        vocab=_count(values, "vocab_size"),
        context=_context(values, slides=named == "MistralForCausalLM"),
        epsilon=_float(values, "rms_norm_eps", 1e-6),
        frequencies=_frequencies(values, head_dim),
        tied=bool(values["tie_word_embeddings"]),
        qkv_bias=qwen2 or projections,
        output_bias=projections and not qwen2,
        ffn_bias=bool(values.get("mlp_bias", False)),
        head_norms=named == "Qwen3ForCausalLM",
    )


def _context(values: Mapping[str, Any], *, slides: bool) -> int:
    """Return the trained context; where a window slides over it, only as much as the window."""
    context = _count(values, "max_position_embeddings", 2048)
    window = values.get("sliding_window")
    if not values.get("use_sliding_window", slides) or window is None:
        return context
    return min(context, _count(values, "sliding_window"))


def _frequencies(values: Mapping[str, Any], head_dim: int) -> tuple[float, ...]:
    """Read the rotary embedding from where older and newer files have it."""
    scaling = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise _wrong("rope_scaling", scaling)
    share = scaling.get("partial_rotary_factor", values.get("partial_rotary_factor", 1.0))
    if share not in (None, 1.0):
        raise ConvertError("ROPE_UNSUPPORTED", f"only {share} of every head is rotated", "such models cannot be read")
    source = scaling if "rope_theta" in scaling else values
    return inverse_frequencies(head_dim, _float(source, "rope_theta", 10000.0), scaling)


def _tensors(folder: Path) -> dict[str, StoredTensor]:
    """Map every shard; nothing is read yet."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return read_safetensors(folder / "model.safetensors")
    places = _json(index, "SHARD_MISSING").get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise ConvertError("CONFIG_UNREADABLE", f"{index} lists no shards", "download it again")
    result: dict[str, StoredTensor] = {}
    for shard in sorted(set(places.values())):
        if Path(shard).name != shard:
            raise ConvertError("SHARD_INVALID", f"{index} names a shard elsewhere: {shard!r}", "download it again")
        result |= read_safetensors(folder / shard)
    return result


def _count(values: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = values.get(name)
    value = default if value is None else value
    if type(value) is not int or value <= 0:
        raise _wrong(name, value)
    return value


def _float(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(name, value)
    return float(value)


def _wrong(name: str, value: object) -> ConvertError:
    return ConvertError("CONFIG_VALUE", f"{name} of config.json is {value!r}", "check the file")
