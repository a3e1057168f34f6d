"""llama2.c checkpoints: those of the reference data by their published text and loss, others by a twin, broken ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from edge_sparse.converters.decoder.convert import convert_decoder
from edge_sparse.converters.decoder.quality import mean_loss, score_session

from edge_sparse.errors import ConvertError
from edge_sparse.format.reader import read_model
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.session import Session

DATA = Path(os.environ.get("EDGE_SPARSE_DATA", ""))
needs_data = pytest.mark.skipif(not os.environ.get("EDGE_SPARSE_DATA"), reason="EDGE_SPARSE_DATA is not set")
DIM, FFN, LAYERS, HEADS, KV_HEADS, VOCABULARY, CONTEXT = 16, 24, 2, 4, 2, 40, 32
HEAD = DIM // HEADS


def write_checkpoint(path, *, tied):
    """Write a small checkpoint in the order of the program's own export; return its arrays."""
    random = np.random.default_rng(3)
    kv = KV_HEADS * HEAD
    shapes = {
        "embedding": (VOCABULARY, DIM),
        "attention_norm": (LAYERS, DIM),
        "q": (LAYERS, DIM, DIM),
        "k": (LAYERS, kv, DIM),
        "v": (LAYERS, kv, DIM),
        "o": (LAYERS, DIM, DIM),
        "ffn_norm": (LAYERS, DIM),
        "w1": (LAYERS, FFN, DIM),
        "w2": (LAYERS, DIM, FFN),
        "w3": (LAYERS, FFN, DIM),
        "norm": (DIM,),
        "cos": (CONTEXT, HEAD // 2),
        "sin": (CONTEXT, HEAD // 2),
    }
    if not tied:
        shapes["head"] = (VOCABULARY, DIM)
    arrays = {name: random.standard_normal(shape).astype(np.float32) / 2 for name, shape in shapes.items()}
    header = (DIM, FFN, LAYERS, HEADS, KV_HEADS, VOCABULARY if tied else -VOCABULARY, CONTEXT)
    path.write_bytes(np.array(header, "<i4").tobytes() + b"".join(array.tobytes() for array in arrays.values()))
    return arrays


def twin(w, ids):
    """Return the logits of all tokens, written as llama2.c computes them: one token after the other."""

    def norm(x, weight):
        return x / np.sqrt((x * x).mean() + 1e-5) * weight

    def turn(x, position):
        pairs = x.reshape(-1, HEAD // 2, 2)
        angle = position * 10000.0 ** (-2 * np.arange(HEAD // 2) / HEAD)
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
        return np.stack([turned.real, turned.imag], axis=-1).reshape(-1, HEAD)

    keys = [[] for _ in range(LAYERS)]
    values = [[] for _ in range(LAYERS)]
    result = []
    for position, token in enumerate(ids):
        x = w["embedding"][token].astype(np.float64)
        for i in range(LAYERS):
            h = norm(x, w["attention_norm"][i])
            q = turn(w["q"][i] @ h, position)
            keys[i].append(turn(w["k"][i] @ h, position))
            values[i].append((w["v"][i] @ h).reshape(-1, HEAD))
            heads = []
            for head in range(HEADS):
                shared = head * KV_HEADS // HEADS
                scores = np.array([k[shared] @ q[head] for k in keys[i]]) / HEAD**0.5
                p = np.exp(scores - scores.max())
                heads.append(sum(a * v[shared] for a, v in zip(p / p.sum(), values[i], strict=True)))
            x = x + w["o"][i] @ np.concatenate(heads)
            h = norm(x, w["ffn_norm"][i])
            gate = w["w1"][i] @ h
            x = x + w["w2"][i] @ (gate / (1 + np.exp(-gate)) * (w["w3"][i] @ h))
        result.append(w.get("head", w["embedding"]) @ norm(x, w["norm"]))
    return np.array(result)


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_a_twin(tied, tmp_path):
    arrays = write_checkpoint(tmp_path / "model.bin", tied=tied)
    model = convert_decoder(tmp_path / "model.bin").model
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 20)
    session = Session.from_model(model, backend="reference", plan="score")
    logits = session.run({"ids": ids.astype(np.int32), "position": np.zeros(1, np.int32)})["logits"]
    np.testing.assert_allclose(logits, twin(arrays, ids), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[:-4], "CHECKPOINT_SIZE"),
        (lambda data: data + bytes(4), "CHECKPOINT_SIZE"),
        (lambda data: data[:20], "CHECKPOINT_SIZE"),
        (lambda data: b"24ka" + data[4:], "CHECKPOINT_VERSION"),
        (lambda data: bytes(4) + data[4:], "CONFIG_VALUE"),
        (lambda data: data[:16] + b"\3\0\0\0" + data[20:], "CONFIG_VALUE"),
        (lambda data: data[:8] + b"\xff\xff\xff\x7f" + data[12:], "CONFIG_VALUE"),
        (lambda data: data[:28] + b"\0\0\xc0\x7f" + data[32:], "WEIGHTS_NOT_FINITE"),
    ],
)
def test_a_broken_checkpoint_has_its_error(change, code, tmp_path):
    path = tmp_path / "model.bin"
    write_checkpoint(path, tied=True)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConvertError) as error:
        convert_decoder(path, tmp_path / "out.egs")
    assert error.value.code == code
    assert error.value.hint
    assert [file.name for file in tmp_path.iterdir()] == ["model.bin"]


@pytest.fixture(scope="module")
def reference():
    return json.loads((DATA / "reference.json").read_text())


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    path = tmp_path_factory.mktemp("stories") / "stories.egs"
    folder = DATA / "llm" / "stories260K"
    convert_decoder(folder / "stories260K.bin", path, tokenizer=folder / "tok512.bin")
    return read_model(path)


@needs_data
def test_stories260k_writes_the_published_story(stories, reference):
    session, tokens = Session.from_model(stories, backend="reference", plan="generate"), [1]
    expected = reference["stories260K_greedy_ids"]
    while len(tokens) < len(expected):
        position = np.array([len(tokens) - 1], np.int32)
        logits = session.run({"ids": np.array(tokens[-1:], np.int32), "position": position})["logits"]
        tokens.append(int(logits[0].argmax()))
    assert tokens == expected
    assert TextCodec(stories.tokenizer).decode(tokens) == reference["stories260K_greedy_from_BOS_200_tokens"]


@needs_data
def test_stories260k_has_the_published_loss(stories, reference):
    codec = TextCodec(stories.tokenizer)
    texts = json.loads((DATA / "text" / "tinystories_100.json").read_text())[:50]
    total = count = 0
    with score_session(stories, 2, 513) as session:
        for text in texts:
            tokens = codec.encode(text)[:513]
            total += mean_loss(session, tokens) * (len(tokens) - 1)
            count += len(tokens) - 1
    loss, tokens = reference["stories260K_nll_per_token_tinystories_100_first50"]
    assert count == tokens
    assert total / count == pytest.approx(loss, abs=5e-4)


def characters(text, vocabulary):
    """Encode as the data's description says: one piece per character, one unknown for every run of strange ones."""
    tokens = [1, 3]
    for character in text:
        token = vocabulary.get("\u2581" if character == " " else character, 0)
        if token or tokens[-1]:
            tokens.append(token)
    return tokens


@needs_data
def test_babyllama_has_the_published_loss(reference):
    folder = DATA / "llm" / "babyllama_tok105"
    model = convert_decoder(folder / "model5000.bin", tokenizer=folder / "tok105.model").model
    lines = (folder / "tok105.vocab").read_text().split("\n")
    vocabulary = {line.rpartition("\t")[0]: number for number, line in enumerate(lines) if line}
    texts = json.loads((DATA / "text" / "tinystories_100.json").read_text())[:20]
    total = count = 0
    with score_session(model, 2, 1024) as session:
        for text in texts:
            tokens = characters(text, vocabulary)
            total += mean_loss(session, tokens) * (len(tokens) - 1)
            count += len(tokens) - 1
    loss, tokens = reference["babyllama_nll_per_token_tinystories_100_first20"]
    assert (total / count, count) == (pytest.approx(loss, abs=5e-4), tokens)


@needs_data
def test_rounding_to_bytes_keeps_the_loss(stories):
    """Text that the model knows: s8 costs next to nothing, s4 little."""
    folder = DATA / "llm" / "stories260K"
    text = json.loads((DATA / "text" / "tinystories_100.json").read_text())[60]
    tokens = TextCodec(stories.tokenizer).encode(text)[:200]
    losses = {}
    for dtype in ("f32", "s8", "s4"):
        model = convert_decoder(folder / "stories260K.bin", dtype=dtype, perplexity=False).model
        session = Session.from_model(model, backend="reference", plan="score")
        losses[dtype] = mean_loss(session, tokens)
    assert abs(losses["s8"] - losses["f32"]) < 0.01
    assert losses["s4"] - losses["f32"] < 0.25
