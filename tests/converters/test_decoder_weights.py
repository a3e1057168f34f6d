"""What is stored for pruned and rounded weights, how exactly, in how much memory, and what happens on a full disk."""

import errno
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from edge_sparse.converters.decoder import spool
from edge_sparse.converters.decoder.checkpoint import Checkpoint, StoredTensor
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies
from edge_sparse.converters.decoder.convert import convert_decoder
from edge_sparse.converters.decoder.options import DecoderOptions
from edge_sparse.converters.decoder.quality import Quality
from edge_sparse.converters.decoder.random_model import random_model
from edge_sparse.converters.decoder.rounding import q4_0_error
from edge_sparse.converters.decoder.stacking import stack_rows

from edge_sparse.errors import ConvertError, OutputFileError, PruningError
from edge_sparse.format.packing import dense, pack_dense
from edge_sparse.format.reader import read_model
from edge_sparse.plan import DType
from edge_sparse.session import Session

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 256,
}


def write_folder(folder, *, tied=True, seed=0, **changes):
    """Write a Llama folder by hand, in bfloat16; return its arrays as float32."""
    random = np.random.default_rng(seed)
    config = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512, **SHAPE, **changes}
    config["tie_word_embeddings"] = tied
    (folder / "config.json").write_text(json.dumps(config))
    dim, ffn = config["hidden_size"], config["intermediate_size"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], dim), "model.norm.weight": (dim,)}
    if not tied:
        shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}"
        shapes |= {f"{start}.self_attn.{n}_proj.weight": (dim, dim) for n in "qkvo"}
        shapes |= {f"{start}.mlp.{n}_proj.weight": (ffn, dim) for n in ("gate", "up")}
        shapes[f"{start}.mlp.down_proj.weight"] = (dim, ffn)
        shapes |= {f"{start}.{n}_layernorm.weight": (dim,) for n in ("input", "post_attention")}
    table, arrays, at = {}, {}, 0
    with open(folder / "model.safetensors.body", "wb") as body:
        for name, shape in shapes.items():
            bits = (random.standard_normal(shape, np.float32) / dim**0.5).view(np.uint32) >> 16
            arrays[name] = (bits << 16).view(np.float32)
            table[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + 2 * bits.size]}
            body.write(bits.astype("<u2").tobytes())
            at += 2 * bits.size
    head = json.dumps(table).encode()
    with open(folder / "model.safetensors", "wb") as file, open(folder / "model.safetensors.body", "rb") as body:
        file.write(len(head).to_bytes(8, "little") + head)
        while block := body.read(1 << 24):
            file.write(block)
    (folder / "model.safetensors.body").unlink()
    return arrays


def by_name(model):
    return {matrix.name: matrix for matrix in model.matrices}


def test_a_pruned_tied_head_leaves_the_embedding_whole(tmp_path):
    arrays = write_folder(tmp_path)
    embedding = arrays["model.embed_tokens.weight"]
    for dtype in ("f32", "f16"):
        model = convert_decoder(tmp_path, dtype=dtype, sparsity=0.5, perplexity=False).model
        table = next(tensor for tensor in model.tensors if tensor.name == "embedding")
        np.testing.assert_allclose(table.data, embedding, rtol=1e-3, atol=1e-7)
        assert by_name(model)["head"].density == pytest.approx(0.5)
    matrices = by_name(convert_decoder(tmp_path, dtype="s4", sparsity=0.5, perplexity=False).model)
    assert matrices["embedding"].dtype is DType.S8
    assert matrices["embedding"].kept is None
    np.testing.assert_allclose(dense(matrices["embedding"]), embedding, atol=0.01 * np.abs(embedding).max())
    assert (matrices["head"].dtype, matrices["head"].density) == (DType.S4, pytest.approx(0.5))


@pytest.mark.parametrize(
    ("wish", "embedding", "head"),
    [
        ({"dtype": "s4"}, "S4", None),
        ({"dtype": "s8"}, "S8", None),
        ({"dtype": "s4", "head_dtype": "s8"}, "S8", None),
        ({"dtype": "s8", "head_dtype": "s4"}, "S8", "S4"),
        ({"dtype": "s4", "sparsity": 0.5, "head_sparsity": 0.0}, "S4", None),
        ({"dtype": "s8", "head_sparsity": 0.5}, "S8", "S8"),
        ({"dtype": "f16"}, "table", "F16"),
        ({"dtype": "f16", "head_dtype": "s8"}, "table", "S8"),
    ],
)
def test_a_tied_head_shares_the_embedding_where_nothing_is_lost(wish, embedding, head, tmp_path):
    write_folder(tmp_path)
    model = convert_decoder(tmp_path, perplexity=False, **wish).model
    matrices = by_name(model)
    assert (matrices["embedding"].dtype.name if "embedding" in matrices else "table") == embedding
    assert (matrices["head"].dtype.name if "head" in matrices else None) == head
    again = by_name(random_model(DecoderConfig("x", 64, 2, 4, 4, 16, 96, 256, 64, 1e-5, (1.0,) * 8), **wish))
    assert set(again) == set(matrices)


def test_the_groups_of_least_magnitude_are_dropped(tmp_path):
    arrays = write_folder(tmp_path, tied=False)
    matrices = by_name(convert_decoder(tmp_path, sparsity=0.7, group="gs8x1", perplexity=False).model)
    for name, source in (("layers.1.up", "model.layers.1.mlp.up_proj.weight"), ("head", "lm_head.weight")):
        weights = arrays[source]
        groups = np.abs(weights).reshape(-1, 8, weights.shape[1]).sum(axis=1)
        border = np.sort(groups, axis=None)[int(0.7 * groups.size)]
        expected = np.where(np.repeat(groups >= border, 8, axis=0), weights, 0)
        np.testing.assert_array_equal(dense(matrices[name]), expected)


def test_a_row_of_zeros_does_not_make_a_dense_matrix_sparse(tmp_path):
    arrays = write_folder(tmp_path, tied=False)
    weights = arrays["model.embed_tokens.weight"].copy()
    weights[32:64] = 0
    from edge_sparse.converters.decoder.pack import WeightFormat, pack_matrix

    config = DecoderConfig("x", 64, 1, 1, 1, 64, 1, 256, 8, 1e-5, (1.0,) * 32)
    (tmp_path / "zeros").write_bytes(weights.tobytes())
    tensors = {n: StoredTensor(n, tmp_path / "zeros", 0, s, np.dtype("<f4")) for n, s in config.tensors.items()}
    with spool.Spool(tmp_path, 1 << 20) as place:
        packed, _ = pack_matrix("e", Checkpoint(config, tensors), "embedding", WeightFormat(DType.S4), place)
    assert packed.kept is None
    np.testing.assert_array_equal(dense(packed)[32:64], 0)


def test_rounding_is_no_worse_than_q4_0(tmp_path):
    write_folder(tmp_path, hidden_size=256, intermediate_size=512)
    for sparsity in (0.0, 0.5):
        result = convert_decoder(tmp_path, dtype="s4", sparsity=sparsity, perplexity=False)
        assert 0.001 < result.nmse < 0.95 * result.q4_0_nmse
    assert convert_decoder(tmp_path, dtype="s8", perplexity=False).nmse < 1e-4


def test_q4_0_has_its_known_error():
    rows = np.random.default_rng(0).standard_normal((512, 1024))
    assert q4_0_error(rows) / (rows**2).sum() == pytest.approx(0.0074, abs=2e-4)
    assert q4_0_error(np.zeros((2, 32))) == 0
    # One weight a block is kept but for the rounding of its scale to half precision.
    alone = np.zeros((1, 32))
    alone[0, 5] = 3.0
    assert q4_0_error(alone) < 1e-5


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16, DType.S8, DType.S4])
def test_matrices_are_put_together_from_rows(dtype):
    random = np.random.default_rng(1)
    weights = random.standard_normal((72, 40)).astype(np.float32)
    weights[np.repeat(random.random((9, 40)) < 0.4, 8, axis=0)] = 0
    segment = 8 if dtype in (DType.S8, DType.S4) else 0
    whole = pack_dense("m", weights, 16, dtype=dtype, segment=segment)
    parts = [pack_dense("", weights[a:b], 16, dtype=dtype, segment=segment) for a, b in ((0, 32), (32, 48), (48, 72))]
    stacked = stack_rows("m", parts)
    assert (stacked.rows, stacked.bands) == (whole.rows, whole.bands)
    np.testing.assert_array_equal(dense(stacked), dense(whole))
    np.testing.assert_array_equal(stacked.values, whole.values)


def test_the_file_is_the_model_in_memory(tmp_path):
    write_folder(tmp_path)
    result = convert_decoder(tmp_path, tmp_path / "m.egs", dtype="s4", sparsity=0.5, perplexity=False)
    assert result.bytes == (tmp_path / "m.egs").stat().st_size
    inputs = {"ids": np.arange(9, dtype=np.int32), "position": np.zeros(1, np.int32)}
    logits = [
        Session.from_model(model, backend="reference").run(inputs)["logits"]
        for model in (result.model, read_model(tmp_path / "m.egs"))
    ]
    np.testing.assert_array_equal(*logits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "m.egs", "model.safetensors"]


def test_perplexity_tells_what_was_lost(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question.\n" * 3)
    result = convert_decoder(tmp_path, dtype="s8", text=tmp_path / "text.txt")
    assert result.quality.tokens == 128
    assert result.quality.after == pytest.approx(result.quality.before, rel=0.01)
    assert 100 < result.quality.before < 1000
    assert "perplexity on 128 tokens" in str(result)
    assert convert_decoder(tmp_path, dtype="f16").quality is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(10.0, 10.5, ""), (10.0, 12.0, "worse text"), (10.0, 30.0, "no longer usable"), (None, 1e9, "")],
)
def test_a_model_that_broke_is_called_broken(before, after, words):
    warning = Quality("text", 100, before, after).warning
    assert words in warning
    assert bool(warning) == bool(words)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"dtype": "s2"}, "DTYPE_UNSUPPORTED"),
        ({"sparsity": 1.0}, "SPARSITY_RANGE"),
        ({"group": "gs3x1"}, "GROUP_UNKNOWN"),
        ({"segment": 12}, "OPTION_RANGE"),
        ({"chunk": 0}, "OPTION_RANGE"),
        ({"context": 0}, "OPTION_RANGE"),
        ({"context": 513}, "CONTEXT_RANGE"),
        ({"text": "missing.txt", "dtype": "s8"}, "TEXT_UNREADABLE"),
        ({"tokenizer": "missing.model"}, "TOKENIZER_FILE"),
    ],
)
def test_a_wrong_wish_has_its_error(wish, error, tmp_path):
    write_folder(tmp_path)
    with pytest.raises((ConvertError, PruningError)) as caught:
        convert_decoder(tmp_path, tmp_path / "m.egs", **wish)
    assert caught.value.code == error
    assert not (tmp_path / "m.egs").exists()


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    write_folder(tmp_path)
    pieces = b"".join(np.float32(0).tobytes() + (1).to_bytes(4, "little") + bytes([65 + i]) for i in range(40))
    (tmp_path / "tok.bin").write_bytes(bytes(4) + pieces)
    with pytest.raises(ConvertError, match="40 pieces") as error:
        convert_decoder(tmp_path, tokenizer=tmp_path / "tok.bin")
    assert error.value.code == "TOKENIZER_VOCABULARY"


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    write_folder(tmp_path)

    def full(self, values):
        with spool.naming_file(self._label):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool.Spool, "add", full)
    with pytest.raises(OutputFileError) as error:
        convert_decoder(tmp_path, tmp_path / "m.egs")
    assert error.value.code == "OUTPUT_DISK_FULL"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_limit_on_file_sizes_is_one_error_too(tmp_path):
    """The real thing: the process may write no file of more than 64 KiB."""
    write_folder(tmp_path)
    outcome = run_limited(tmp_path, "RLIMIT_FSIZE", 1 << 16)
    assert outcome.returncode == 6, outcome.stderr
    assert "[OUTPUT_DISK_FULL]" in outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def run_limited(folder, limit, value):
    script = f"""
    import resource, signal, sys
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.{limit}, ({value}, {value}))
    from edge_sparse.cli import main
    sys.exit(main(["convert", {str(folder)!r}, "-o", {str(folder / "m.egs")!r}, "--dtype", "f32"]))
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )


def test_memory_does_not_grow_with_the_model(tmp_path):
    """A model of 200 MB is converted with little more memory of its own than an empty process has."""
    write_folder(tmp_path, hidden_size=1024, intermediate_size=4096, num_hidden_layers=5, vocab_size=16384)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 180e6
    script = f"""
    import threading, time
    from edge_sparse.converters.decoder.convert import convert_decoder
    def anonymous():
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Anonymous:")) * 1024
    start, most, done = anonymous(), 0, False
    def watch():
        global most
        while not done:
            most = max(most, anonymous())
            time.sleep(0.02)
    thread = threading.Thread(target=watch)
    thread.start()
    convert_decoder({str(tmp_path)!r}, {str(tmp_path / "m.egs")!r}, dtype="s8", sparsity=0.5, perplexity=False)
    done = True
    thread.join()
    print(most - start)
    """
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=300, check=True
    )
    # Blocks of 2 million weights as float32, a few copies each; never the whole model.
    assert int(outcome.stdout) < 150e6


def test_random_models_have_the_shape_that_was_asked_for():
    config = DecoderConfig("x", 64, 2, 4, 2, 16, 96, 300, 4096, 1e-5, inverse_frequencies(16, 1e4))
    model = random_model(config, dtype="s4", sparsity=0.5, chunk=8, context=64)
    assert by_name(model)["head"].rows == 300
    assert by_name(model)["layers.0.gate"].density == pytest.approx(0.5, abs=0.05)
    session = Session.from_model(model, backend="reference")
    logits = session.run({"ids": np.arange(8, dtype=np.int32), "position": np.zeros(1, np.int32)})["logits"]
    assert np.isfinite(logits).all()
    assert 0.1 < logits.std() < 10


def test_caches_fit_the_limit_of_the_format():
    config = DecoderConfig("x", 64, 32, 64, 64, 128, 96, 256, 1 << 17, 1e-5, (1.0,) * 64)
    assert DecoderOptions().rows(config) == 2048
    with pytest.raises(ConvertError) as error:
        DecoderOptions(context=4096).rows(config)
    assert error.value.code == "CONTEXT_RANGE"
