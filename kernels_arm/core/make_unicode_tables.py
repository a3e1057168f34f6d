"""Write ``unicode_tables.inc``: what text needs to know of characters, for ``unicode.c``.

    python kernels_arm/core/make_unicode_tables.py          # needs unicodedata2 of VERSION, or a Python that has it

The version is that of the expressions in the package ``tokenizers`` 0.23, so that both cut text alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

__all__ = ["VERSION", "tables", "unicode_data"]

VERSION = "16.0.0"
FILE = Path(__file__).with_name("unicode_tables.inc")
LIMIT = 0x110000
SURROGATES = range(0xD800, 0xE000)
HANGUL = range(0xAC00, 0xD7A4)
SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
LETTER, NUMBER, SPACE = 1, 2, 3
#: Characters per block of the two-stage tables: what makes the tables smallest.
CLASS_BLOCK, COMBINING_BLOCK = 128, 32


def unicode_data() -> ModuleType | None:
    """Return a module with the character data of ``VERSION``, None if there is none here."""
    for name in ("unicodedata2", "unicodedata"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if module.unidata_version == VERSION:
            return module
    return None


def tables(data: ModuleType) -> str:
    """Return the text of the file."""
    characters = [chr(number) for number in range(LIMIT)]
    kinds = {"L": LETTER, "N": NUMBER}
    classes = [kinds.get(data.category(character)[0], 0) for character in characters]
    for space in SPACES:
        classes[ord(space)] = SPACE
    packed = [sum(classes[at + place] << 2 * place for place in range(4)) for at in range(0, LIMIT, 4)]
    combining = [data.combining(character) for character in characters]
    pairs = _pairs(data, characters)
    lines = [
        f"/* Made by make_unicode_tables.py from the character data of Unicode {VERSION}. */",
        f'#define UNICODE_VERSION "{VERSION}"',
        f"enum {{ CLASS_BLOCK = {CLASS_BLOCK}, COMBINING_BLOCK = {COMBINING_BLOCK} }};",
        *_two_stages("class", packed, CLASS_BLOCK // 4),
        *_two_stages("combining", combining, COMBINING_BLOCK),
        *_decompositions(pairs, [_composes(data, pair) for pair in pairs]),
    ]
    return "\n".join(lines) + "\n"


def _pairs(data: ModuleType, characters: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return (character, first, second) of all canonical decompositions but those of Hangul, which are computed."""
    found = []
    for number, character in enumerate(characters):
        text = data.decomposition(character)
        if not text or text.startswith("<") or number in HANGUL:
            continue
        first, *second = (int(part, 16) for part in text.split())
        found.append((number, first, second[0] if second else 0))
    return found


def _composes(data: ModuleType, pair: tuple[int, int, int]) -> bool:
    character, first, second = pair
    return second > 0 and data.normalize("NFC", chr(first) + chr(second)) == chr(character)


def _decompositions(pairs: Sequence[tuple[int, int, int]], composes: Sequence[bool]) -> list[str]:
    """Return the tables of decompositions: arrays that compress well, so not one of pairs."""
    runs = [at for at in range(len(pairs)) if not at or pairs[at - 1][0] + 1 != pairs[at][0]]
    high = [first >> 16 | again << 7 for (_, first, _), again in zip(pairs, composes, strict=True)]
    seconds = sorted({second for _, _, second in pairs} | {0})
    return [
        "/* Canonical decompositions by character: runs of characters that have one, and the number of their first. */",
        *_array("uint32_t", "run_characters", [pairs[at][0] for at in runs]),
        *_array("uint16_t", "run_numbers", [*runs, len(pairs)]),
        "/* By number: 16 bits of the first part, its others and whether the parts compose, place of the second. */",
        *_array("uint16_t", "first_low", [first & 0xFFFF for _, first, _ in pairs]),
        *_array("uint8_t", "first_high", high),
        *_array("uint8_t", "second_places", [seconds.index(second) for _, _, second in pairs]),
        "/* In order; 0: there is none. */",
        *_array("uint32_t", "seconds", seconds),
    ]


def _two_stages(name: str, values: Sequence[int], block: int) -> list[str]:
    """Return the numbers of blocks up to the last that is not zero, and the different blocks, zeros first."""
    end = max(at for at, value in enumerate(values) if value) // block * block + block
    blocks: dict[tuple[int, ...], int] = {(0,) * block: 0}
    numbers = [blocks.setdefault(tuple(values[at : at + block]), len(blocks)) for at in range(0, end, block)]
    kind = "uint8_t" if len(blocks) <= 256 else "uint16_t"
    flat = [value for found in blocks for value in found]
    return [*_array(kind, f"{name}_blocks", numbers), *_array("uint8_t", f"{name}_values", flat)]


def _array(kind: str, name: str, values: Sequence[int]) -> list[str]:
    lines, line = [f"static const {kind} {name}[{len(values)}] = {{"], ""
    for value in values:
        text = f"{value},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = ""
        line += text
    return [*lines, line, "};"]


def main() -> None:
    """Write the file."""
    data = unicode_data()
    if data is None:
        raise SystemExit(f"needs the character data of Unicode {VERSION}: pip install unicodedata2=={VERSION}")
    FILE.write_text(tables(data))


if __name__ == "__main__":
    main()
