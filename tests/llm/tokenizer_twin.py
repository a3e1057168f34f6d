"""Slow twins of the tokenizers, written from ``docs/format.md`` alone."""

import itertools
import unicodedata

import regex

WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def cuts(text, pre_tokenizer):
    if pre_tokenizer == 0:
        return [text]
    if pre_tokenizer == 4:
        parts = regex.split(r"(\p{N})", text)
        return [cut for part in parts for cut in regex.findall(WORDS, part)]
    return regex.findall([WORDS, LLAMA3, LLAMA3.replace("{1,3}", "")][pre_tokenizer - 1], text)


def special_parts(record, text):
    """Yield (bytes, None) or (None, token), splitting off marked pieces."""
    data, at, plain = text.encode(), 0, b""
    marked = [(p, t) for t, p in enumerate(record.pieces) if record.marks and record.marks[t] & 1 and p]
    while at < len(data):
        found = [(len(p), -t) for p, t in marked if data.startswith(p, at)]
        if not found:
            plain += data[at : at + 1]
            at += 1
            continue
        if plain:
            yield plain, None
        plain = b""
        length, token = max(found)
        yield None, -token
        at += length
    if plain:
        yield plain, None


def ranked(record, text):
    """Byte-level BPE with quadratic search."""
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(record.merges)))}
    tokens = [record.bos] if record.add_bos else []
    for part, special in special_parts(record, text):
        if part is None:
            tokens.append(special)
            continue
        part = part.decode()
        part = unicodedata.normalize("NFC", part) if record.normaliser == 1 else part
        for cut in cuts(part, record.pre_tokenizer):
            data = cut.encode()
            if record.whole_words and data in record.pieces:
                tokens.append(record.pieces.index(data))
                continue
            now = [record.pieces.index(bytes([byte])) for byte in data]
            while pairs := [(ranks[p], i) for i, p in enumerate(itertools.pairwise(now)) if p in ranks]:
                _, i = min(pairs)
                now[i : i + 2] = [record.pieces.index(record.pieces[now[i]] + record.pieces[now[i + 1]])]
            tokens += now
    return tokens


def scored(record, text):
    """Scored merges as llama2.c makes them, with quadratic search."""
    tokens, first = [record.bos] if record.add_bos else [], True
    for part, special in special_parts(record, text):
        if part is None:
            tokens.append(special)
            first = False
            continue
        now = []
        for character in (" " if first and record.dummy_prefix else "") + part.decode():
            if character.encode() in record.pieces:
                now.append(record.pieces.index(character.encode()))
            elif record.byte_fallback:
                now += [record.pieces.index(b"<0x%02X>" % byte) for byte in character.encode()]
            elif not now or now[-1] != record.unknown:
                now.append(record.unknown)
        while True:
            best = (-1e10, -1, -1)
            for i, (a, b) in enumerate(itertools.pairwise(now)):
                joined = record.pieces[a] + record.pieces[b]
                if record.unknown not in (a, b) and joined in record.pieces:
                    number = record.pieces.index(joined)
                    if record.scores[number] > best[0]:
                        best = (record.scores[number], i, number)
            if best[1] < 0:
                break
            now[best[1] : best[1] + 2] = [best[2]]
        tokens += now
        first = False
    return tokens
