"""A language model from trained weights to text: convert it dense and pruned, verify, generate, compare.

Writes ``shakespeare-*.egs``. ``make demo`` runs it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from edge_sparse.converters.decoder.convert import convert_decoder

import edge_sparse as es
from edge_sparse.cli.console import Console
from edge_sparse.cli.text import Table, size
from edge_sparse.machine import processor_name

MODEL = Path(__file__).resolve().parent / "model"
PROMPT = "ROMEO:\n"
#: Sonnet 18, which the model has not read: it was trained on plays.
VERSE = """\
Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date:
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance, or nature's changing course, untrimm'd;
But thy eternal summer shall not fade
Nor lose possession of that fair thou owest;
Nor shall Death brag thou wander'st in his shade,
When in eternal lines to time thou growest;
So long as men can breathe or eyes can see,
So long lives this, and this gives life to thee.
"""


@dataclass(frozen=True)
class Variant:
    """How the weights are stored, and how many nats a byte the verse may cost more than with the original ones."""

    name: str
    options: dict[str, object]
    rise: float


VARIANTS = (
    Variant("f32", {"dtype": "f32"}, 0.0),
    Variant("s8", {"dtype": "s8"}, 0.02),
    Variant("s4", {"dtype": "s4"}, 0.1),
    Variant("s8 30 % gs16x1", {"dtype": "s8", "sparsity": 0.3, "head_sparsity": 0.0}, 1.0),
    Variant("s8 50 % gs16x1", {"dtype": "s8", "sparsity": 0.5, "head_sparsity": 0.0}, 2.5),
)


def convert(variant: Variant, folder: Path, console: Console) -> Path:
    """Convert one variant and return its file."""
    path = folder / f"shakespeare-{'-'.join(variant.name.replace(' %', '').split())}.egs"
    with console.progress() as report:
        convert_decoder(
            MODEL,
            path,
            **variant.options,
            perplexity=False,
            overwrite=True,
            progress=lambda stage, share: report(f"{variant.name}: {stage}", share),
        )
    return path


def compare(files: dict[str, Path], console: Console) -> None:
    """Print what every variant makes of the verse, and stop where one is worse than it may be."""
    rows, losses = [], {}
    for variant in VARIANTS:
        with es.llm.load(files[variant.name]) as model:
            losses[variant.name] = model.perplexity(VERSE).loss
            answer = model.generate(PROMPT, max_tokens=200, temperature=0)
        rows.append(
            (
                variant.name,
                size(files[variant.name].stat().st_size),
                f"{losses[variant.name]:.3f}",
                f"{answer.stats.tokens_per_second:.0f}",
            )
        )
    columns = ("weights", "file", "nats a byte of a sonnet", "tokens/s")
    console.table(Table(columns, tuple(rows), title=f"one thread, {processor_name()}"))
    for variant in VARIANTS:
        allowed = losses["f32"] + variant.rise
        assert losses[variant.name] <= allowed, f"{variant.name}: {losses[variant.name]} nats, {allowed} allowed"
    assert losses["f32"] < 2.2, f"the model does not know English: {losses['f32']} nats a byte"


def attend(file: Path) -> None:
    """Generate with exact and with delta attention; without a threshold both must write the same text."""
    texts = {}
    print("attention, with f32 weights:")
    for name, options in {
        "exact": {"cache": "f32"},
        "delta, theta 0": {"attention": "delta", "theta": 0.0, "cache": "f32"},
        "delta, theta 0.6": {"attention": "delta", "theta": 0.6},
    }.items():
        with es.llm.load(file, **options) as model:
            answer = model.generate(PROMPT, max_tokens=300, temperature=0)
            texts[name] = answer.text
            print(f"{name}: {answer.stats.tokens_per_second:.0f} tokens/s; {model.skipped().text}")
    assert texts["exact"] == texts["delta, theta 0"], "delta attention that skips nothing writes another text"


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/demo"), help="folder for the files")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    files = {variant.name: convert(variant, options.output, console) for variant in VARIANTS}
    print()
    compare(files, console)
    print()
    # F32: where activations are rounded to s8, another order of summation can turn a near tie between two bytes.
    attend(files["f32"])
    print(f"\n{PROMPT}", end="")
    with es.llm.load(files["s8"]) as model:
        for piece in model.generate(PROMPT, max_tokens=300, temperature=0.8, seed=1, stream=True):
            print(piece, end="", flush=True)
    print(f"\n\nmore: edge-sparse generate {files['s8']} -p 'JULIET:' -n 300 --temperature 0.8")


if __name__ == "__main__":
    main()
