"""Hugging Face folders: logits are those of transformers, and every broken folder has its error."""

import json
import os

import numpy as np
import pytest
from edge_sparse.converters.decoder.convert import convert_decoder

from edge_sparse.errors import ConvertError, UnsupportedOperatorError
from edge_sparse.session import Session

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch", reason="needs torch: edge_sparse[torch]")
transformers = pytest.importorskip("transformers", reason="needs transformers: edge_sparse[test]")

SIZES = {
    "vocab_size": 120,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    # Larger than usual, so that attention is far from even.
    "initializer_range": 0.15,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}
MODELS = {
    "llama": ("Llama", {"num_key_value_heads": 6}),
    "llama_gqa_tied_llama3": ("Llama", {"tie_word_embeddings": True, "head_dim": 16, "rope_parameters": LLAMA3}),
    "llama_biases_linear": (
        "Llama",
        {
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0},
        },
    ),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 8}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 12}),
}


def make_folder(folder, kind="Llama", *, dtype=None, shard="50GB", **settings):
    """Save a small model with random weights; return it."""
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **settings})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter += 0.3 * torch.randn_like(parameter)
    (model if dtype is None else model.to(dtype)).save_pretrained(folder, max_shard_size=shard)
    # Read again, since a conversion to half precision rounds the rotary embedding's table too.
    return type(model).from_pretrained(folder, dtype=torch.float32).eval()


def expected_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids, dtype=torch.long)[None]).logits[0].numpy()


def our_logits(result, ids, chunk):
    session = Session.from_model(result.model, backend="reference", plan="score")
    ids = np.array(ids, np.int32)
    parts = [
        session.run({"ids": ids[i : i + chunk], "position": np.array([i], np.int32)})["logits"]
        for i in range(0, len(ids), chunk)
    ]
    return np.concatenate(parts)


@pytest.fixture
def ids():
    return np.random.default_rng(5).integers(0, 120, 40).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers(name, tmp_path, ids):
    kind, settings = MODELS[name]
    model = make_folder(tmp_path, kind, **settings)
    result = convert_decoder(tmp_path, chunk=16)
    expected = expected_logits(model, ids)
    found = our_logits(result, ids, 16)
    assert np.abs(found - expected).max() < 1e-3
    # The plan that generates gives the last row of the other one.
    session = Session.from_model(result.model, backend="reference", plan="generate")
    last = session.run({"ids": np.array(ids[:16], np.int32), "position": np.zeros(1, np.int32)})["logits"]
    np.testing.assert_allclose(last[0], found[15], atol=1e-5)


def test_the_settings_of_these_models_matter(tmp_path, ids):
    """A reader that ignored the rotary embedding's settings would not pass the test above."""
    for name in ("llama_gqa_tied_llama3", "llama_biases_linear", "qwen3"):
        kind, settings = MODELS[name]
        folder = tmp_path / name
        model = make_folder(folder, kind, **settings)
        config = json.loads((folder / "config.json").read_text())
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": 777.0}
        (folder / "config.json").write_text(json.dumps(config))
        assert np.abs(our_logits(convert_decoder(folder), ids, 40) - expected_logits(model, ids)).max() > 1e-3


def test_older_files_name_the_rotary_embedding_elsewhere(tmp_path, ids):
    model = make_folder(tmp_path, "Llama", rope_parameters=LLAMA3)
    config = json.loads((tmp_path / "config.json").read_text())
    scaling = config.pop("rope_parameters")
    config["rope_theta"], config["rope_scaling"] = scaling.pop("rope_theta"), scaling
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert np.abs(our_logits(convert_decoder(tmp_path), ids, 40) - expected_logits(model, ids)).max() < 1e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_read_exactly(dtype, tmp_path, ids):
    model = make_folder(tmp_path, dtype=getattr(torch, dtype))
    assert np.abs(our_logits(convert_decoder(tmp_path), ids, 40) - expected_logits(model, ids)).max() < 1e-3


def test_shards_are_read_one_by_one(tmp_path, ids):
    model = make_folder(tmp_path, shard="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert np.abs(our_logits(convert_decoder(tmp_path), ids, 40) - expected_logits(model, ids)).max() < 1e-3


def test_a_sliding_window_bounds_the_context(tmp_path):
    make_folder(tmp_path, "Mistral", sliding_window=32)
    caches = [t for t in convert_decoder(tmp_path).model.tensors if t.name.endswith("_cache")]
    assert {cache.shape[0] for cache in caches} == {32}


@pytest.mark.parametrize("tied", [True, False])
def test_a_configuration_may_be_silent_about_the_head(tied, tmp_path, ids):
    model = make_folder(tmp_path, tie_word_embeddings=tied)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert np.abs(our_logits(convert_decoder(tmp_path), ids, 40) - expected_logits(model, ids)).max() < 1e-3


@pytest.fixture
def folder(tmp_path):
    make_folder(tmp_path, shard="40KB")
    return tmp_path


def change_config(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "ARCHITECTURE_UNKNOWN"),
        ({"hidden_act": "gelu"}, "ACTIVATION_UNSUPPORTED"),
        ({"hidden_size": 47}, "TENSOR_SHAPE"),
        ({"vocab_size": 121}, "TENSOR_SHAPE"),
        ({"num_hidden_layers": 3}, "TENSOR_MISSING"),
        ({"num_hidden_layers": -1}, "CONFIG_VALUE"),
        ({"num_key_value_heads": 4}, "CONFIG_VALUE"),
        ({"num_attention_heads": "6"}, "CONFIG_VALUE"),
        ({"rms_norm_eps": "nan"}, "CONFIG_VALUE"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "ROPE_UNSUPPORTED"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "CONFIG_VALUE"),
        ({"partial_rotary_factor": 0.5, "rope_parameters": None}, "ROPE_UNSUPPORTED"),
    ],
)
def test_a_wrong_configuration_has_its_error(change, code, folder):
    change_config(folder, **change)
    with pytest.raises(ConvertError) as error:
        convert_decoder(folder, folder / "out.egs")
    assert error.value.code == code
    assert error.value.hint
    assert not list(folder.glob("*out*"))


def test_an_unknown_architecture_is_named_with_the_known_ones(folder):
    change_config(folder, architectures=["MambaForCausalLM"])
    with pytest.raises(UnsupportedOperatorError, match="MambaForCausalLM") as error:
        convert_decoder(folder)
    assert "LlamaForCausalLM" in error.value.hint
    assert "Qwen3ForCausalLM" in error.value.hint


def test_a_missing_shard_is_named(folder):
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ConvertError, match=shard.name) as error:
        convert_decoder(folder)
    assert error.value.code == "SHARD_MISSING"


@pytest.mark.parametrize("size", [0, 7, 100, -3])
def test_a_shard_that_is_cut_off_is_refused(size, folder):
    shard = sorted(folder.glob("model-*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(ConvertError, match=shard.name) as error:
        convert_decoder(folder)
    assert error.value.code == "SHARD_INVALID"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(value, tmp_path):
    model = make_folder(tmp_path)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = value
    model.save_pretrained(tmp_path)
    with pytest.raises(ConvertError, match=r"layers\.1\.mlp\.up_proj") as error:
        convert_decoder(tmp_path, tmp_path / "out.egs")
    assert error.value.code == "WEIGHTS_NOT_FINITE"
    assert not list(tmp_path.glob("*out*"))


def test_a_shard_may_not_lie_elsewhere(folder):
    index = folder / "model.safetensors.index.json"
    places = json.loads(index.read_text())
    name = next(iter(places["weight_map"]))
    places["weight_map"][name] = "../other.safetensors"
    index.write_text(json.dumps(places))
    with pytest.raises(ConvertError) as error:
        convert_decoder(folder)
    assert error.value.code == "SHARD_INVALID"
