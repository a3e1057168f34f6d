"""Runs replay.mjs on cases in Node.js or in a page, and packs arrays and files for it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from chromium_site import Reply

__all__ = [
    "HERE",
    "PLACES",
    "array_of",
    "check_texts",
    "packed_array",
    "packed_file",
    "python_texts",
    "replay_in_node",
    "replay_in_page",
]

HERE = Path(__file__).parent
#: Where cases run: options of Session.create. Relaxed SIMD of Node.js 20 computes wrong dot products.
PLACES = {
    "node-simd": {"variant": "simd", "worker": False},
    "node-scalar": {"variant": "scalar", "worker": False},
    "chromium-simd": {"variant": "simd", "worker": True},
    "chromium-scalar": {"variant": "scalar", "worker": False},
    "chromium-relaxed": {"variant": "relaxed", "worker": True},
}
#: Names of options in Python.
PYTHON_NAMES = {
    "topK": "top_k",
    "topP": "top_p",
    "minP": "min_p",
    "repetitionPenalty": "repetition_penalty",
    "maxTokens": "max_tokens",
}


def packed_file(data):
    """Return bytes as text."""
    return base64.b64encode(data).decode()


def packed_array(array):
    """Return an array as replay.mjs takes it."""
    data = packed_file(np.ascontiguousarray(array).tobytes())
    return {"data": data, "shape": array.shape, "dtype": array.dtype.name}


def array_of(packed):
    """Return the array that replay.mjs packed."""
    return np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"]).reshape(packed["shape"])


def replay_in_node(run_node, package, folder, name, cases, **options):
    """Run a function of replay.mjs in Node.js; ``wasm`` is the path of a module."""
    given, found = folder / "cases.json", folder / "results.json"
    given.write_text(json.dumps(cases))
    words = [HERE / "replay_node.mjs", package / "index.js", name, given, found]
    run_node(*words, json.dumps(options, default=str))
    return json.loads(found.read_text())


def replay_in_page(page, site, package, name, cases, **options):
    """Run a function of replay.mjs in a page; ``wasm`` is the path of a module."""
    site.folders.update({"/edge-sparse/": package, "/replay/": HERE})
    site.replies["/cases.json"] = Reply(json.dumps(cases).encode(), content_type="application/json")
    if "wasm" in options:
        site.folders["/modules/"] = options["wasm"].parent
        options["wasm"] = f"/modules/{options['wasm'].name}"
    page.goto("/")
    script = """async ([name, options]) => {
        const [replay, {Session}] = await Promise.all([import("/replay/replay.mjs"), import("/edge-sparse/index.js")]);
        const cases = await (await fetch("/cases.json")).json();
        return await replay[name](Session, cases, options);
    }"""
    return page.evaluate(script, [name, options])


def python_texts(language, prompts):
    """Return what a language model in Python generates from prompts that follow one another."""
    results = []
    for given in prompts:
        options = {PYTHON_NAMES.get(name, name): value for name, value in given["options"].items()}
        if "seed" in options:
            options["seed"] = int(options["seed"])
        if options.pop("roll", False):
            options["on_full"] = "roll"
        results.append(language.generate(given["prompt"], **options))
    return results


def check_texts(found, expected):
    """Compare the results of replayTexts with Python's."""
    for result, wanted in zip(found, expected, strict=True):
        assert "".join(result["pieces"]) == wanted.text
        assert all(result["pieces"])
        assert result["finish"] == wanted.finish
        assert result["promptTokens"] == wanted.stats.prompt_tokens
        assert result["reusedTokens"] == wanted.stats.reused_tokens
        assert result["generatedTokens"] == wanted.stats.generated_tokens
