"""Tokenizers of the C core: the vectors, and the tokens of the Python twins for strange text."""

import importlib.util
import json
import os
import random
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_text import TESTS, native_text

from edge_sparse.errors import FileFormatError, InputError
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.tokenizer import Mark, Normaliser, PreTokenizer, Tokenizer

from language_vectors import record_of  # isort: skip

tokenizers = pytest.importorskip("tokenizers")
from edge_sparse.converters.decoder.tokenizer_files import tokenizer_from_file  # noqa: E402
from edge_sparse.converters.decoder.tokenizer_json import tokenizer_from_json  # noqa: E402
from test_tokenizers import CUTS, scored_record, texts, trained  # noqa: E402

ROOM = 1 << 20
BYTE_PIECES = tuple(bytes([byte]) for byte in range(256))
#: Characters at which cuts, merges and normal forms go wrong.
HARD = st.sampled_from(
    "aAzésSſ '\n\r\t\v\x1c\x85\xa0\u2028\u30001½٣Ⅷ.,!😀日한ㄱ\u0301\u0323\u0345\u1100\u1161\u11a8\u212b\ufb2c<|>_"
)
ANY = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(HARD | ANY, max_size=60) | st.text(HARD, max_size=200)
many = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


def same(text, native, codec):
    assert native.encode(text) == codec.encode(text), ascii(text)


@pytest.mark.parametrize("number", range(4))
def test_vectors(number):
    vector = json.loads((TESTS / "vectors" / "tokenization.json").read_text())[number]
    native = native_text(record_of(vector["record"]))
    for case in vector["cases"]:
        assert native.encode(case["text"]) == case["tokens"]
        assert native.decode(case["tokens"]) == case["shown"]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("whole_words", [False, True])
def test_byte_level_tokens_equal_those_of_tokenizers(tmp_path, cut, whole_words):
    trained(tmp_path, cut, bos=whole_words, whole_words=whole_words)
    record = tokenizer_from_json(tmp_path)
    native, codec = native_text(record, prompt_bytes=ROOM), TextCodec(record)
    for text in texts():
        same(text, native, codec)

    @many
    @given(TEXTS)
    def check(text):
        same(text, native, codec)

    check()


@pytest.mark.parametrize("cut", [PreTokenizer.GPT2, PreTokenizer.LLAMA3, PreTokenizer.QWEN2, PreTokenizer.DIGITS])
def test_every_character_is_cut_as_tokenizers_cuts_it(cut):
    # A character's last byte is joined with what follows it in the same cut, so tokens tell where cuts are.
    followers = b"a1! "
    pieces = [*BYTE_PIECES, *(bytes([byte, follower]) for follower in followers for byte in range(128, 256))]
    merges = [(byte, follower) for follower in followers for byte in range(128, 256)]
    record = Tokenizer(3, tuple(pieces), merges=tuple(merges), pre_tokenizer=cut)
    native, codec = native_text(record, prompt_bytes=ROOM), TextCodec(record)
    # Every character, but of large even stretches (Chinese, Korean, private, none) only some.
    even = ((0x3500, 0x9F00), (0xAD00, 0xD700), (0xE000, 0xF800), (0x17100, 0x18700), (0x20100, 0x110000))
    stretches = [range(first, end, 211) for first, end in even]
    others = [range(end, first) for (_, end), (first, _) in zip(((0, 0x80), *even), even, strict=False)]
    characters = [c for part in (*others, *stretches) for c in part if not 0xD800 <= c < 0xE000]
    for at in range(0, len(characters), 8192):
        part = characters[at : at + 8192]
        same("".join(f"{chr(c)}a\n{chr(c)}1\n{chr(c)}! {chr(c)}\n" for c in part), native, codec)


def normal(native, text):
    return bytes(native.encode(text)).decode()


def test_normal_form_c():
    native = native_text(Tokenizer(3, BYTE_PIECES, normaliser=Normaliser.NFC), prompt_bytes=ROOM)
    known = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn")]
    for at in range(0, len(known), 20000):
        text = "|".join(known[at : at + 20000])
        for form in (text, unicodedata.normalize("NFD", text)):
            assert normal(native, form) == unicodedata.normalize("NFC", form)
    marks = [c for c in known if unicodedata.combining(c) or not unicodedata.is_normalized("NFC", c)]
    chance = random.Random(6)
    for _ in range(300):
        text = "".join(chance.choices(marks, k=40) + chance.choices("ae\u1112\u1161\u11ab가", k=20))
        text = "".join(chance.sample(text, len(text)))
        assert normal(native, text) == unicodedata.normalize("NFC", text), ascii(text)
    long = "a" + "".join(chance.choices("\u0301\u0323\u0334\u0327", k=30000))
    assert normal(native, long) == unicodedata.normalize("NFC", long)


def test_unicode_tables_are_what_the_script_makes():
    script = TESTS.parent / "kernels_arm" / "core" / "make_unicode_tables.py"
    spec = importlib.util.spec_from_file_location("make_unicode_tables", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = module.unicode_data()
    if data is None:
        pytest.skip(f"needs the character data of Unicode {module.VERSION}")
    assert script.with_name("unicode_tables.inc").read_text() == module.tables(data)
    # Bounds that unicode.c relies on.
    decomposed = [chr(c) for c in range(0x110000) if data.decomposition(chr(c))]
    assert max(len(data.normalize("NFD", c)) for c in decomposed) <= 4
    assert max(len(data.normalize("NFD", c)) / len(c.encode()) for c in decomposed) <= 1.5


@pytest.mark.parametrize("byte_fallback", [True, False])
@pytest.mark.parametrize("dummy_prefix", [True, False])
def test_scored_tokens_equal_those_of_python(byte_fallback, dummy_prefix):
    marks = bytes([0] * 270 + [Mark.MATCHED] + [0] * (len(scored_record().pieces) - 271))
    record = scored_record(byte_fallback=byte_fallback, dummy_prefix=dummy_prefix, marks=marks)
    native, codec = native_text(record, prompt_bytes=ROOM), TextCodec(record)

    @many
    @given(st.text(st.sampled_from(" abcdé☃\n") | ANY, max_size=60))
    def check(text):
        tokens = codec.encode(text)
        assert native.encode(text) == tokens
        assert native.decode(tokens) == codec.decode(tokens)

    check()


def test_special_pieces_are_found_from_the_left_the_longest_first():
    special = [b"<a>", b"<a>b", b"<", b"<a>bcd", b"\xc3\xa9!", b"<a>"]
    pieces = (*BYTE_PIECES, *special)
    record = Tokenizer(3, pieces, marks=bytes(256) + bytes([Mark.MATCHED] * len(special)))
    native, codec, chance = native_text(record), TextCodec(record), random.Random(9)
    for _ in range(500):
        same("".join(chance.choices("<a>bcdé!", k=chance.randrange(25))), native, codec)


def test_long_words_and_equal_pieces():
    pieces = (*BYTE_PIECES, b"aa", b"aaaa", b"ab", b"aa", b"aba")
    record = Tokenizer(3, pieces, merges=((97, 97), (259, 256), (97, 98), (258, 97)))
    twin = replace(record, merges=((97, 97), (256, 256), (97, 98), (258, 97)))
    native, codec = native_text(record, prompt_bytes=ROOM), TextCodec(twin)
    for text in ("a" * 300_001, "ab" * 150_000, "aab" * 100_000):
        same(text, native, codec)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_tokens_are_shown_as_python_shows_them(kind):
    record = {1: Tokenizer(1, (), bos=7, eos=9), 2: scored_record(), 3: Tokenizer(3, (*BYTE_PIECES, b" \xe6\x97", b""))}
    native, codec = native_text(record[kind]), TextCodec(record[kind])

    @many
    @given(st.lists(st.integers(-1, 400), max_size=60))
    def check(tokens):
        assert native.decode(tokens) == codec.decode(tokens)

    check()


def test_what_cannot_be_encoded_is_refused():
    cases = (
        (scored_record(byte_fallback=False, unknown=-1), "x", "TEXT_NOT_ENCODABLE"),
        (Tokenizer(3, (b"a", b"b")), "ac", "TEXT_NOT_ENCODABLE"),
        (Tokenizer(1, ()), b"a\xed\xa0\x80", "TEXT_NOT_ENCODABLE"),
        (Tokenizer(1, ()), b"\xc3", "TEXT_NOT_ENCODABLE"),
        (Tokenizer(1, ()), "a" * (ROOM + 1), "PROMPT_TOO_LONG"),
        (None, "a", "TOKENIZER_MISSING"),
    )
    for record, text, code in cases:
        with pytest.raises((InputError, FileFormatError)) as error:
            native_text(record, prompt_bytes=ROOM).encode(text)
        assert error.value.code == code
    native = native_text(Tokenizer(3, BYTE_PIECES, normaliser=Normaliser.NFC), prompt_bytes=8)
    with pytest.raises(InputError, match="normalisation form C") as error:
        native.encode("\U0001d160")
    assert error.value.code == "PROMPT_TOO_LONG"


@pytest.mark.parametrize("merges", [((0, 1),), ((0, 3),)])
def test_merges_must_make_pieces(merges):
    with pytest.raises(FileFormatError) as error:
        native_text(Tokenizer(3, (b"a", b"b", b"ba", b""), merges=merges))
    assert error.value.code == "TOKENIZER_VALUES"


@pytest.mark.skipif(not os.environ.get("EDGE_SPARSE_DATA"), reason="EDGE_SPARSE_DATA is not set")
def test_real_tokenizers():
    data = Path(os.environ["EDGE_SPARSE_DATA"])
    stories = json.loads((data / "text" / "tinystories_100.json").read_text())
    files = ("stories260K/tok512.bin", "babyllama_tok105/tok105.model", "llama_tokenizer/tokenizer.bin")
    for name in files:
        record = tokenizer_from_file(data / "llm" / name)
        native, codec = native_text(record, prompt_bytes=ROOM), TextCodec(record)
        for text in [*stories, "wörld 😀\t\n  日本語 x", "\n".join(stories)]:
            tokens = codec.encode(text)
            assert native.encode(text) == tokens
            assert native.decode(tokens, ROOM) == codec.decode(tokens)
