"""Limits of the tokenizer record that are too large for a file among the vectors."""

from dataclasses import replace

import pytest
from tiny_decoder import tiny_decoder

from edge_sparse.errors import FileFormatError
from edge_sparse.format.assembly import assemble
from edge_sparse.format.reader import parse_model
from edge_sparse.format.spec import MATCHED_LIMIT, TEMPLATE_LIMIT
from edge_sparse.tokenizer import Mark, Normaliser, PreTokenizer, Tokenizer


def read_back(tokenizer):
    data = assemble(replace(tiny_decoder(), tokenizer=tokenizer))
    return parse_model(data if isinstance(data, bytes) else b"".join(data)).tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        Tokenizer(1, (), bos=3, add_bos=True, chat_template="é\n" * (TEMPLATE_LIMIT // 3)),
        Tokenizer(2, (b"a",), (0.5,), dummy_prefix=True, byte_fallback=True, marks=bytes([7])),
        Tokenizer(3, (b"", b"b"), pre_tokenizer=PreTokenizer.DIGITS, normaliser=Normaliser.NFC, whole_words=True),
        Tokenizer(3, (b"x",) * MATCHED_LIMIT, marks=bytes([Mark.MATCHED]) * MATCHED_LIMIT),
    ],
)
def test_records_come_back(tokenizer):
    assert read_back(tokenizer) == tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "code"),
    [
        (Tokenizer(1, (), chat_template="x" * (TEMPLATE_LIMIT + 1)), "TOKENIZER_TEMPLATE"),
        (Tokenizer(3, (b"x",) * (MATCHED_LIMIT + 1), marks=bytes([1]) * (MATCHED_LIMIT + 1)), "TOKENIZER_SIZE"),
    ],
)
def test_limits(tokenizer, code):
    with pytest.raises(FileFormatError) as error:
        read_back(tokenizer)
    assert error.value.code == code
