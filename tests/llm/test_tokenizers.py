"""Tokenizers: records made of tokenizer files give the same tokens as the original libraries and as slow twins."""

import json
import random
import struct
import sys

import pytest
from edge_sparse.converters.decoder.tokenizer_files import tokenizer_from_file
from edge_sparse.converters.decoder.tokenizer_json import tokenizer_from_json
from tokenizer_twin import LLAMA3, WORDS, ranked, scored

from edge_sparse.errors import ConvertError, FileFormatError, InputError, MissingExtraError
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.llm.text_stream import TextStream
from edge_sparse.tokenizer import Mark, PreTokenizer, Tokenizer

tokenizers = pytest.importorskip("tokenizers")

CORPUS = [
    "Once upon a time, there was a little girl. She'll say: 'I've 1234 apples, don't you?'",
    "  leading spaces,\ttabs\r\nand\n\nnewlines   \n  end  ",
    "naïve café – Ünïcödé, русский текст, 日本語テキスト, עברית",
    "emoji 😀👩‍👩‍👧 and combining e\u0301 a\u0308, ½ ² Ⅷ 12345678",
    "def f(x):\n    return x**2 + 1  # comment\n\n\n",
    "I'LL YOU'RE HE'S it's'd",
    "<|end|>special<|end|><|user|> in <|us the middle<|end|>",
    "",
    " ",
    "a",
    "\u2028\u00a0\u3000",
]
CUTS = {
    "gpt2": (PreTokenizer.GPT2, [], True),
    "split_gpt2": (PreTokenizer.GPT2, [("split", WORDS)], False),
    "llama3": (PreTokenizer.LLAMA3, [("split", LLAMA3)], False),
    "qwen2": (PreTokenizer.QWEN2, [("split", LLAMA3.replace("{1,3}", ""))], False),
    "digits": (PreTokenizer.DIGITS, [("digits", "")], True),
    "none": (PreTokenizer.NONE, [], False),
}


def texts():
    """Return the corpus and random texts over characters that are hard to cut."""
    chance = random.Random(5)
    letters = "aAzé '\n\r\t1½٣.,!😀日\u0301\u00a0<|sd"
    return CORPUS + ["".join(chance.choices(letters, k=chance.randrange(1, 30))) for _ in range(150)]


def trained(folder, cut, *, bos=False, whole_words=False, nfc=False):
    """Train a byte-level tokenizer on the corpus and save it as Hugging Face does."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

    _, parts, use_regex = CUTS[cut]
    library = tokenizers.Tokenizer(models.BPE(ignore_merges=whole_words))
    made = [
        pre_tokenizers.Digits(individual_digits=True)
        if kind == "digits"
        else pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
        for kind, pattern in parts
    ]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    library.pre_tokenizer = pre_tokenizers.Sequence([*made, level]) if made else level
    library.decoder = decoders.ByteLevel()
    if nfc:
        library.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    library.train_from_iterator(CORPUS * 3, trainer)
    library.add_special_tokens(["<|begin|>", "<|end|>"])
    library.add_tokens(["<|user|>"])
    if bos:
        begin = ("<|begin|>", library.token_to_id("<|begin|>"))
        template = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[begin])
        library.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    library.save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": "<|begin|>",
        "eos_token": {"__type": "AddedToken", "content": "<|end|>", "special": True},
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": "{{ bos_token }}{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return library


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("bos", "whole_words", "nfc"), [(False, False, False), (True, True, True)])
def test_byte_level_records_give_the_tokens_of_the_original(tmp_path, cut, bos, whole_words, nfc):
    library = trained(tmp_path, cut, bos=bos, whole_words=whole_words, nfc=nfc)
    record = tokenizer_from_json(tmp_path)
    assert record.pre_tokenizer == CUTS[cut][0]
    assert (record.add_bos, record.whole_words, bool(record.normaliser)) == (bos, whole_words, nfc)
    assert record.bos == library.token_to_id("<|begin|>")
    assert record.eos == library.token_to_id("<|end|>")
    codec = TextCodec(record)
    for text in texts():
        expected = library.encode(text).ids
        assert codec.encode(text) == expected, text
        assert ranked(record, text) == expected, text
        if not nfc and "<|" not in text:
            assert codec.decode(expected) == text


def test_special_pieces_are_found_hidden_and_end(tmp_path):
    library = trained(tmp_path, "llama3")
    ends = [library.token_to_id("<|user|>"), library.token_to_id("<|end|>")]
    generation = {"eos_token_id": ends, "do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 50}
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    record = tokenizer_from_json(tmp_path / "tokenizer.json")
    codec = TextCodec(record)
    tokens = codec.encode("a<|user|>b<|end|>")
    assert tokens == library.encode("a<|user|>b<|end|>").ids
    assert codec.decode(tokens) == "ab"
    assert [codec.ends(token) for token in tokens] == [False, True, False, True]
    assert record.chat_template.startswith("{{ bos_token }}")
    assert (round(record.temperature, 6), round(record.top_p, 6), record.top_k) == (0.6, 0.9, 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"type": "WordPiece", "vocab": {}}}, "WordPiece"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "without a byte level"),
        ({"post_processor": {"type": "BertProcessing"}}, "BertProcessing"),
    ],
)
def test_other_tokenizers_are_refused(tmp_path, change, words):
    trained(tmp_path, "gpt2")
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConvertError, match=words) as error:
        tokenizer_from_json(path)
    assert error.value.code == "TOKENIZER_UNSUPPORTED"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": {"type": "BPE", "vocab": 3, "merges": []}}'])
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ConvertError) as error:
        tokenizer_from_json(path)
    assert error.value.code == "TOKENIZER_FILE"


def scored_record(**changes):
    """Return a tokenizer of random pieces over a few letters, with bytes."""
    chance = random.Random(3)
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]
    pieces += [letter.encode() for letter in " abcdé"]
    pieces += list({"".join(chance.choices(" abcdé", k=chance.randrange(2, 5))).encode() for _ in range(60)})
    scores = [0.0] * 265 + [float(-chance.randrange(20)) for _ in pieces[265:]]
    values = {"bos": 1, "eos": 2, "unknown": 0, "add_bos": True, "dummy_prefix": True, "byte_fallback": True}
    return Tokenizer(2, tuple(pieces), tuple(scores), **{**values, **changes})


@pytest.mark.parametrize("byte_fallback", [True, False])
def test_scored_merges_equal_the_twin(byte_fallback):
    marks = bytes([0] * 270 + [Mark.MATCHED] + [0] * (len(scored_record().pieces) - 271))
    record = scored_record(byte_fallback=byte_fallback, marks=marks)
    codec, chance = TextCodec(record), random.Random(8)
    for _ in range(200):
        text = "".join(chance.choices(" aabbcdé☃\n", k=chance.randrange(40)))
        tokens = codec.encode(text)
        assert tokens == scored(record, text)
        if byte_fallback and tokens[1:2] != [270]:  # without a dummy prefix, the space that is dropped is a real one
            assert codec.decode(tokens) == text


def test_a_missing_character_is_named():
    with pytest.raises(InputError) as error:
        TextCodec(scored_record(byte_fallback=False, unknown=-1)).encode("x")
    assert error.value.code == "TEXT_NOT_ENCODABLE"
    with pytest.raises(InputError) as error:
        TextCodec(Tokenizer(3, (b"a", b"b"))).encode("ac")
    assert error.value.code == "TEXT_NOT_ENCODABLE"
    with pytest.raises(InputError) as error:
        TextCodec(Tokenizer(1, ())).encode("\udc80")
    assert error.value.code == "TEXT_UTF8"


def test_a_missing_package_is_named_and_decoding_does_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    codec = TextCodec(Tokenizer(3, (b"a", b"b")))
    assert codec.decode([0, 1]) == "ab"
    with pytest.raises(MissingExtraError, match=r"edge_sparse\[llm\]"):
        codec.encode("a")


def test_merges_must_make_pieces():
    with pytest.raises(FileFormatError) as error:
        TextCodec(Tokenizer(3, (b"a", b"b"), merges=((0, 1),))).encode("a")
    assert error.value.code == "TOKENIZER_VALUES"


def test_bytes():
    codec = TextCodec(Tokenizer(1, (), bos=0, eos=1, add_bos=True))
    assert codec.encode("aé") == [0, 97, 0xC3, 0xA9]
    assert codec.decode([0, 97, 0xC3, 0xA9, 1, 300]) == "aé"
    assert codec.ends(1)
    assert not codec.ends(97)


def test_llama2c_files(tmp_path):
    record = scored_record()
    data = struct.pack("<i", 9)
    for piece, score in zip(record.pieces, record.scores, strict=True):
        data += struct.pack("<fi", score, len(piece)) + piece
    (tmp_path / "tok.bin").write_bytes(data)
    loaded = tokenizer_from_file(tmp_path / "tok.bin")
    assert (loaded.pieces, loaded.scores) == (record.pieces, record.scores)
    assert TextCodec(loaded).encode("abc é") == TextCodec(record).encode("abc é")
    (tmp_path / "tok.bin").write_bytes(data[:-1])
    with pytest.raises(ConvertError, match="TOKENIZER_FILE"):
        tokenizer_from_file(tmp_path / "tok.bin")


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def test_sentencepiece_files(tmp_path):
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁a", -1.0, 1), ("▁", -2.0, 1), ("a", -3.0, 1)]
    data = b"".join(
        field(1, field(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + field(3, kind))
        for text, score, kind in pieces
    )
    (tmp_path / "x.model").write_bytes(data + field(2, field(3, 2) + field(35, 0)) + field(3, field(3, 1)))
    record = tokenizer_from_file(tmp_path / "x.model")
    codec = TextCodec(record)
    assert codec.encode("a aé☃ <s>") == [1, 3, 3, 0, 4, 1]
    assert codec.decode([1, 3, 3]) == "a a"
    (tmp_path / "x.model").write_bytes(data + field(2, field(3, 1)))
    with pytest.raises(ConvertError, match="TOKENIZER_UNSUPPORTED"):
        tokenizer_from_file(tmp_path / "x.model")
    (tmp_path / "x.model").write_bytes(data[:-2])
    with pytest.raises(ConvertError, match="TOKENIZER_FILE"):
        tokenizer_from_file(tmp_path / "x.model")


def test_llama2_tokenizer_json(tmp_path):
    """Character BPE with byte fallback becomes scored merges."""
    from tokenizers import decoders, models, normalizers

    letters = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "c"]
    merged = ["▁a", "ab", "▁ab", "bc", "abc", "▁abc"]
    vocabulary = {piece: number for number, piece in enumerate(letters + merged)}
    merges = [
        (piece[:at], piece[at:])
        for piece in merged
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
    library = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.save(str(tmp_path / "tokenizer.json"))
    record = tokenizer_from_json(tmp_path)
    codec, chance = TextCodec(record), random.Random(1)
    assert (record.kind, record.dummy_prefix) == (2, True)
    for _ in range(100):
        text = "".join(chance.choices(" aabbbcé", k=chance.randrange(1, 20)))
        assert codec.encode(text) == library.encode(text).ids
        assert codec.encode(text) == scored(record, text)


def test_streams_never_split_characters():
    codec = TextCodec(Tokenizer(1, ()))
    stream = TextStream(codec)
    shown = [stream.push(byte) for byte in "aé😀".encode()]
    assert shown == ["a", "", "é", "", "", "", "😀"]
    assert stream.push(0xF0) == ""
    assert stream.finish() == "\ufffd"


def test_streams_stop_across_tokens():
    codec, chance = TextCodec(Tokenizer(1, ())), random.Random(2)
    for _ in range(300):
        text = "".join(chance.choices("abc", k=25))
        stops = ["".join(chance.choices("abc", k=chance.randrange(1, 5))) for _ in range(chance.randrange(3))]
        stream, shown = TextStream(codec, stops), ""
        for byte in text.encode():
            shown += stream.push(byte)
            assert text.startswith(shown)
            if stream.stopped:
                break
        shown += stream.finish()
        # The stream sees one character at a time, so the stop string that ends first wins.
        ends = sorted((text.find(s) + len(s), text.find(s)) for s in stops if s in text)
        expected = text[: min(place for end, place in ends if end == ends[0][0])] if ends else text
        assert shown == expected
        assert stream.stopped == bool(ends)
