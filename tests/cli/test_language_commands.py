"""generate, chat and perplexity on a small decoder: what is printed, as text and as JSON, and every bad input."""

import io
import os
import signal
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "llm"))

from small_decoder import small_model

from edge_sparse.cli.llm_options import terminal_text
from edge_sparse.format.writer import write_model

REFERENCE = ("--backend", "reference")


@pytest.fixture(scope="session")
def decoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("decoder") / "small.egs"
    write_model(small_model(), path)
    return path


@pytest.fixture
def typed(monkeypatch):
    """Put bytes on standard input."""

    def put(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return put


def test_generate_streams_and_reports(cli, decoder):
    outcome = cli("generate", decoder, "-p", "some text", "-n", 8, *REFERENCE)
    assert outcome.code == 0
    assert outcome.out.endswith("\n")
    for words in ("10 tokens read", "first token after", "8 generated", "tokens/s", "nothing skipped"):
        assert words in outcome.err
    document = cli("generate", decoder, "-p", "some text", "-n", 8, "--json", *REFERENCE).json
    assert len(document["tokens"]) == len(document["logprobs"]) == 8
    assert document["finish"] == "length"
    assert document["stats"]["prompt_tokens"] == 10
    assert terminal_text(document["text"]) + "\n" == outcome.out


def test_generate_with_delta_attention(cli, decoder):
    words = ("--attention", "delta", "--theta", "0.5", "--window", "0.1", "--cache", "f32", *REFERENCE)
    outcome = cli("generate", decoder, "-p", "some text of some length", "-n", 8, *words)
    assert outcome.code == 0
    assert "delta attention:" in outcome.err


def test_generate_reads_prompts_from_files(cli, decoder, typed, tmp_path):
    expected = cli("generate", decoder, "-p", "some text", "-n", 4, *REFERENCE).out
    (tmp_path / "prompt.txt").write_text("some text")
    assert cli("generate", decoder, "-f", tmp_path / "prompt.txt", "-n", 4, *REFERENCE).out == expected
    typed(b"some text")
    assert cli("generate", decoder, "-f", "-", "-n", 4, *REFERENCE).out == expected


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-p", "x" * 60), "PROMPT_TOO_LONG"),
        (("-p", "x", "-n", "100"), "CONTEXT_FULL"),
        (("-p", "\udcff"), "TEXT_UTF8"),
        (("--temperature", "-1"), "SAMPLING_RANGE"),
        (("--top-p", "2"), "SAMPLING_RANGE"),
        (("-n", "0"), "MAX_TOKENS_RANGE"),
        (("--attention", "flash"), "ATTENTION_UNKNOWN"),
        (("--cache", "s2"), "ATTENTION_CACHE"),
        (("--attention", "delta", "--theta", "nan"), "ATTENTION_THETA"),
        (("--attention", "delta", "--window", "2"), "ATTENTION_WINDOW"),
        (("--context", "1"), "CONTEXT_RANGE"),
        (("-t", "0"), "THREADS_RANGE"),
        (("--roll",), "USAGE"),
        (("-f", "/nowhere/prompt.txt"), "TEXT_UNREADABLE"),
    ],
)
def test_generate_names_what_is_wrong(cli, decoder, words, code):
    outcome = cli("generate", decoder, *words, *REFERENCE)
    assert outcome.code == 3
    assert f"error [{code}]: " in outcome.err
    assert "next step: " in outcome.err


def test_other_files_are_named(failure, model_file, tmp_path):
    for command in (("generate", model_file), ("chat", model_file), ("perplexity", model_file, tmp_path / "x.txt")):
        (tmp_path / "x.txt").write_text("text")
        assert failure(*command) == ("NO_LANGUAGE_MODEL", 3)


def test_perplexity(cli, failure, decoder, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("some text to measure, longer than one window of the model")
    outcome = cli("perplexity", decoder, text, *REFERENCE)
    assert outcome.code == 0
    assert outcome.out.startswith("perplexity ")
    document = cli("perplexity", decoder, text, "--length", 20, "--json", *REFERENCE).json
    assert (document["tokens"], document["windows"]) == (57, 3)
    assert document["loss_per_byte"] == pytest.approx(document["loss"])
    delta = cli("perplexity", decoder, text, "--attention", "delta", "--theta", 1e9, "--json", *REFERENCE).json
    exact = cli("perplexity", decoder, text, "--json", *REFERENCE).json
    assert delta["loss"] != pytest.approx(exact["loss"], abs=1e-6)
    assert exact["skipped"] == 0
    assert delta["skipped"] > 0.9
    text.write_bytes(b"caf\xe9")
    assert failure("perplexity", decoder, text, *REFERENCE) == ("TEXT_UTF8", 3)
    assert failure("perplexity", decoder, tmp_path / "none.txt", *REFERENCE) == ("TEXT_UNREADABLE", 3)


def test_chat_answers_every_line(cli, decoder, typed):
    typed(b"ab\n/stats\n\n/reset\ncd\n")
    outcome = cli("chat", decoder, "-n", 3, *REFERENCE)
    assert outcome.code == 0
    assert "tokens read" in outcome.err
    assert "forgotten" in outcome.err
    typed(b"ab\ncd\n/quit\nef\n")
    turns = cli("chat", decoder, "-n", 3, "--json", *REFERENCE).json
    assert [turn["user"] for turn in turns] == ["ab", "cd"]


def test_long_chats_forget_what_is_oldest(cli, decoder, typed):
    typed(b"ab\ncd\nef\ngh\n")
    turns = cli("chat", decoder, "-n", 3, "--json", *REFERENCE).json
    assert [turn["user"] for turn in turns] == ["ab", "cd", "ef", "gh"]
    assert all(turn["assistant"] for turn in turns)
    typed(b"ab\ncd\nef\n")
    outcome = cli("chat", decoder, "-n", 3, *REFERENCE)
    assert outcome.code == 0
    assert "the oldest question and its answer are forgotten" in outcome.err


def test_chat_names_what_is_wrong(cli, decoder, typed):
    for data, code in ((b"caf\xe9\n", "TEXT_UTF8"), (b"x" * 100 + b"\n", "PROMPT_TOO_LONG")):
        typed(data)
        outcome = cli("chat", decoder, *REFERENCE)
        assert outcome.code == 3
        assert f"error [{code}]: " in outcome.err


def test_ctrl_c_ends_the_answer(process, decoder):
    """Within one token: what is there stays, and the speed is told."""
    words = ("-p", "some text", "-n", "100000", "--roll", *REFERENCE)
    running = process("generate", decoder, *words, text=False, bufsize=0)
    first = running.stdout.read(1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert first
    assert out.endswith(b"\n")
    assert b"(cancelled; seed" in err
    assert b"Traceback" not in err


def test_terminals_are_not_steered():
    assert terminal_text("a\n\tb\x1b[31m\u202e") == "a\n\tb\\x1b[31m\\u202e"
