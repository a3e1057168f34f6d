"""Real tokenizer files: counts and texts that others measured."""

import json
import os
from pathlib import Path

import pytest
from edge_sparse.converters.decoder.tokenizer_files import tokenizer_from_file

from edge_sparse.llm.text_codec import TextCodec

DATA = Path(os.environ.get("EDGE_SPARSE_DATA", ""))
pytestmark = pytest.mark.skipif(not os.environ.get("EDGE_SPARSE_DATA"), reason="EDGE_SPARSE_DATA is not set")


def codec(name):
    return TextCodec(tokenizer_from_file(DATA / "llm" / name))


def stories():
    return json.loads((DATA / "text" / "tinystories_100.json").read_text())


def test_stories_have_the_counted_tokens():
    reference = json.loads((DATA / "reference.json").read_text())
    small, characters = codec("stories260K/tok512.bin"), codec("babyllama_tok105/tok105.model")
    count = sum(len(small.encode(text)) - 1 for text in stories()[:50])
    assert count == reference["stories260K_nll_per_token_tinystories_100_first50"][1]
    count = sum(len(characters.encode(text)) - 1 for text in stories()[:20])
    assert count == reference["babyllama_nll_per_token_tinystories_100_first20"][1]
    shown = small.decode(reference["stories260K_greedy_ids"])
    assert shown == reference["stories260K_greedy_from_BOS_200_tokens"]


def test_both_files_of_one_tokenizer_agree():
    first, second = codec("stories260K/tok512.bin"), codec("stories260K/tok512.model")
    for text in [*stories()[:30], "wörld 😀\t\n  x", ""]:
        assert first.encode(text) == second.encode(text)
        assert first.decode(first.encode(text)) == text


def test_large_vocabularies_come_back():
    llama = codec("llama_tokenizer/tokenizer.bin")
    assert llama.encode("Hello, world!") == [1, 15043, 29892, 3186, 29991]
    for text in stories()[:10]:
        assert llama.decode(llama.encode(text)) == text
