"""``edge-sparse convert`` of language models, from the words of the command to the file and its errors."""

import json

import numpy as np
import pytest

from edge_sparse.format.reader import read_model

DIM, FFN, VOCABULARY, CONTEXT = 16, 24, 40, 64


@pytest.fixture
def checkpoint(tmp_path):
    """A llama2.c checkpoint of one layer, and a tokenizer of single characters."""
    random = np.random.default_rng(0)
    sizes = [VOCABULARY * DIM, DIM, *[DIM * DIM] * 4, DIM, *[FFN * DIM] * 3, DIM, CONTEXT * DIM // 2]
    header = np.array([DIM, FFN, 1, 2, 2, VOCABULARY, CONTEXT], "<i4")
    weights = [random.standard_normal(size).astype("<f4") / 4 for size in sizes]
    path = tmp_path / "model.bin"
    path.write_bytes(header.tobytes() + b"".join(part.tobytes() for part in weights))
    pieces = [b"<unk>", b"<s>", b"</s>", b" ", *[bytes([97 + letter]) for letter in range(26)]]
    pieces += [str(number).encode() for number in range(VOCABULARY - len(pieces))]
    parts = [np.float32(0).tobytes() + len(piece).to_bytes(4, "little") + piece for piece in pieces]
    (tmp_path / "tok.bin").write_bytes((5).to_bytes(4, "little") + b"".join(parts))
    return path


def test_a_checkpoint_becomes_a_file_with_its_tokenizer(cli, checkpoint, tmp_path):
    words = ("convert", checkpoint, "--tokenizer", tmp_path / "tok.bin", "-o", tmp_path / "m.egs")
    outcome = cli(*words)
    assert outcome.code == 0, outcome.err
    assert "wrote" in outcome.out
    model = read_model(tmp_path / "m.egs")
    assert [plan.name for plan in model.plans] == ["generate", "score"]
    assert len(model.tokenizer.pieces) == VOCABULARY
    assert cli(*words).code == 6
    assert cli(*words, "--force").code == 0


def test_the_result_is_told_in_json(cli, checkpoint, tmp_path):
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog " * 2)
    options = ("--dtype", "s8", "--sparsity", "0.5", "--group", "gs4x1", "--context", "32", "--chunk", "8")
    words = ("--tokenizer", tmp_path / "tok.bin", "--text", tmp_path / "text.txt", "-o", tmp_path / "m.egs", "--json")
    result = cli("convert", checkpoint, *options, *words).json
    assert result["path"] == str(tmp_path / "m.egs")
    assert result["density"] == pytest.approx(0.5, abs=0.02)
    assert result["quality"]["before"] > 1
    assert result["nmse"] < result["q4_0_nmse"]
    model = read_model(tmp_path / "m.egs")
    assert model.plans[0].symbol_max == 8
    assert {t.shape[0] for t in model.tensors if t.name.endswith("_cache")} == {32}


def test_a_dry_run_writes_nothing(cli, checkpoint, tmp_path):
    before = sorted(tmp_path.iterdir())
    outcome = cli("convert", checkpoint, "--dtype", "s4", "--dry-run")
    assert outcome.code == 0
    assert "nothing written" in outcome.out
    assert "no tokenizer" in outcome.out
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--batch", "2"), "USAGE"),
        (("--layout", "chw"), "USAGE"),
        (("--report", "r.html"), "USAGE"),
        (("--sparsity", "1.5"), "SPARSITY_RANGE"),
        (("--context", "65"), "CONTEXT_RANGE"),
        (("--tokenizer", "nothing.model"), "TOKENIZER_FILE"),
    ],
)
def test_a_wrong_option_has_its_error(failure, checkpoint, tmp_path, words, code):
    assert failure("convert", checkpoint, "-o", tmp_path / "m.egs", *words)[0] == code
    assert not (tmp_path / "m.egs").exists()


def test_an_unknown_architecture_has_its_error(failure, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"]}))
    assert failure("convert", tmp_path, "-o", tmp_path / "m.egs") == ("ARCHITECTURE_UNKNOWN", 5)


def test_a_folder_without_a_model_has_its_error(failure, tmp_path):
    assert failure("convert", tmp_path, "-o", tmp_path / "m.egs") == ("CONFIG_MISSING", 5)


@pytest.mark.parametrize("head", [b"PK\3\4", b"\x80\2}q", b"\x80\4\x95\0"])
def test_weights_that_torch_wrote_are_still_refused(failure, tmp_path, head):
    (tmp_path / "pytorch_model.bin").write_bytes(head + bytes(100))
    assert failure("convert", tmp_path / "pytorch_model.bin", "-o", tmp_path / "m.egs")[0] == "STATE_DICT_GIVEN"
