"""Assemble the demo page: its files, the built npm package, and the models of examples/, converted.

``make web`` runs it; ``edge-sparse demo --web`` serves the result, and so does any static server. Models are converted
again only when something changed that they are made from; that needs ``pip install '.[torch,examples]'``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "wasm" / "demo"
PACKAGE = ROOT / "wasm" / "js" / "dist"
EXAMPLES = ROOT / "examples"
#: What models are made from: any change converts them again.
SOURCES = (EXAMPLES / "digits", EXAMPLES / "shakespeare", ROOT / "converters", ROOT / "edge_sparse")
LEFT_ASIDE = {"__pycache__", "cli", "web"}
SOURCE_ENDINGS = {".py", ".safetensors", ".json"}
#: Not on the page, or not needed without a network.
LEFT_OUT = {".ts", ".map"}
NEVER_KEPT = {"sw.js", "precache.js"}
PRELOADS = "<!-- preloads -->"
#: What the first result needs besides scripts. Not the models: later visits have them already.
FIRST_FETCHED = ("edge-sparse/edge_sparse.wasm", "models.json")


@dataclass(frozen=True)
class Shipped:
    """One model of the page. ``quality`` is a share of right answers, or nats a byte; ``kept`` a share of weights."""

    name: str
    file: str
    task: str
    title: str
    kept: float
    quality: float


DIGITS = (
    Shipped("digits-dense", "digits-dense.egs", "digits", "dense", 1.0, 0.0),
    Shipped("digits-sparse", "digits-sparse.egs", "digits", "80 % sparse", 0.2, 0.0),
)
#: What the converter is told; the losses say what leaving weights out costs where nothing is trained again.
TEXTS = {
    Shipped("shakespeare-s8", "shakespeare-s8.egs", "text", "8 bits, dense", 1.0, 0.0): {"dtype": "s8"},
    Shipped("shakespeare-s4", "shakespeare-s4.egs", "text", "4 bits, dense", 1.0, 0.0): {"dtype": "s4"},
    Shipped("shakespeare-s8-30", "shakespeare-s8-30.egs", "text", "8 bits, 30 % sparse", 0.7, 0.0): {
        "dtype": "s8",
        "sparsity": 0.3,
        "head_sparsity": 0.0,
        "group": "gs8x1",
    },
}


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint() -> str:
    """Return a hash of everything that models are made from."""
    total = hashlib.sha256(repr((DIGITS, TEXTS)).encode())
    for folder in SOURCES:
        for path in sorted(folder.rglob("*")):
            if path.suffix in SOURCE_ENDINGS and not LEFT_ASIDE & set(path.parts):
                total.update(f"{path.relative_to(ROOT)} {hash_of(path)}\n".encode())
    return total.hexdigest()


def convert_digits(folder: Path) -> list[Shipped]:
    """Convert both networks and count what they recognise of the held-out digits."""
    sys.path.insert(0, str(EXAMPLES / "digits"))
    import model
    import numpy as np

    import edge_sparse as es

    images, labels = model.test_images()
    done = []
    for shipped, source in zip(DIGITS, (model.dense, model.pruned), strict=True):
        say(f"convert {shipped.file}")
        module, inputs = source()
        path = folder / shipped.file
        es.convert(module, inputs, path, labels=model.LABELS, image=model.IMAGE, overwrite=True)
        session = es.load(path)
        found = [int(np.argmax(session(image[None]))) for image in images]
        done.append(_with_quality(shipped, float(np.mean(np.array(found) == labels))))
    return done


def convert_texts(folder: Path) -> list[Shipped]:
    """Convert the language model in its variants and let each read a sonnet."""
    sys.path.insert(0, str(EXAMPLES / "shakespeare"))
    from demo import MODEL, VERSE
    from edge_sparse.converters.decoder.convert import convert_decoder

    import edge_sparse as es

    done = []
    for shipped, options in TEXTS.items():
        say(f"convert {shipped.file}")
        convert_decoder(MODEL, folder / shipped.file, **options, perplexity=False, overwrite=True)
        with es.llm.load(folder / shipped.file) as language_model:
            done.append(_with_quality(shipped, language_model.perplexity(VERSE).loss))
    return done


def _with_quality(shipped: Shipped, quality: float) -> Shipped:
    return Shipped(**{**asdict(shipped), "quality": round(quality, 4)})


def models(folder: Path) -> list[dict[str, object]]:
    """Return what models.json says; converts only when sources have changed."""
    record = folder / "models.json"
    wanted = fingerprint()
    if record.is_file():
        kept = json.loads(record.read_text())
        if kept["fingerprint"] == wanted and all((folder / entry["file"]).is_file() for entry in kept["models"]):
            return list(kept["models"])
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    entries = []
    for shipped in (*convert_digits(folder), *convert_texts(folder)):
        path = folder / shipped.file
        entries.append({**asdict(shipped), "bytes": path.stat().st_size, "sha256": hash_of(path)})
    record.write_text(json.dumps({"fingerprint": wanted, "models": entries}))
    return entries


def copy_page(site: Path) -> None:
    """Copy the page and the npm package, and let the page fetch at once what its first result needs."""
    shutil.copytree(PAGE, site, dirs_exist_ok=True)
    ignore = shutil.ignore_patterns(*(f"*{ending}" for ending in LEFT_OUT))
    shutil.copytree(PACKAGE, site / "edge-sparse", ignore=ignore)
    scripts = [path for path in files_of(site) if path.endswith(".js")]
    # The worker comes with the first text, the engine alone is for tests, the service worker is no part of the page.
    wanted = [path for path in scripts if path.rpartition("/")[2] not in {"worker.js", "engine.js", *NEVER_KEPT}]
    links = "\n".join(
        [f'<link rel="preload" as="fetch" crossorigin href="./{path}">' for path in FIRST_FETCHED]
        + [f'<link rel="modulepreload" href="./{path}">' for path in wanted]
    )
    index = site / "index.html"
    text = index.read_text(encoding="utf-8")
    if PRELOADS not in text:
        sys.exit(f"{PAGE / 'index.html'} has no line {PRELOADS}")
    index.write_text(text.replace(PRELOADS, links), encoding="utf-8")


def files_of(site: Path) -> list[str]:
    """Return all files, relative to the site, in order."""
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())


def write_precache(site: Path) -> None:
    """List what the service worker keeps, with hashes: any change gives another list, hence an update.

    Models are missing: the npm package keeps those that were used. So is the module that the page does not run.
    """
    kept = {path: hash_of(site / path)[:16] for path in files_of(site) if _is_kept(path)}
    total = hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]
    value = json.dumps({"version": total, "files": kept}, indent=1)
    comment = "// What is kept for visits without a network; made by build_site.py."
    (site / "precache.js").write_text(f"{comment}\nself.PRECACHE = {value};\n", encoding="utf-8")


def _is_kept(path: str) -> bool:
    return path not in NEVER_KEPT and not path.endswith((".egs", "_relaxed.wasm"))


def build(output: Path, model_folder: Path) -> None:
    """Make the site beside its place, then move it there, so that it is never half there."""
    if not (PACKAGE / "index.js").is_file():
        sys.exit(f"{PACKAGE} is missing: make web, or 'npm ci' and 'npm run build' in wasm/js")
    entries = models(model_folder)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".web-") as parent:
        site = Path(parent) / "web"
        copy_page(site)
        (site / "models").mkdir()
        for entry in entries:
            shutil.copy2(model_folder / str(entry["file"]), site / "models")
        text = json.dumps(entries, indent=1) + "\n"
        (site / "models.json").write_text(text, encoding="utf-8")
        write_precache(site)
        if output.exists():
            os.rename(output, Path(parent) / "old")
        os.rename(site, output)
    total = sum((output / path).stat().st_size for path in files_of(output))
    say(f"{output}: {len(files_of(output))} files, {total / 1e6:.1f} MB")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/web"), help="folder of the site")
    parser.add_argument("--models", type=Path, default=ROOT / "build" / "web-models", help="where models are kept")
    options = parser.parse_args()
    try:
        build(options.output.resolve(), options.models.resolve())
    except ImportError as error:
        sys.exit(f"{error}: converting the models needs pip install '.[torch,examples]'")


if __name__ == "__main__":
    main()
