"""Engine in Node.js: files in pieces, memory that stays flat, traps, limits, wrong calls, and the module's heap."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from edge_sparse.converters.decoder.random_model import random_model

from edge_sparse.format.writer import model_bytes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "backends" / "native"), str(HERE.parent / "llm")]

from native_text import text_model  # noqa: E402
from small_decoder import CONFIG  # noqa: E402

MIB = 1 << 20


@pytest.fixture(scope="module")
def seen(package, wasm_modules, run_node, tmp_path_factory):
    """Return what engine_node.mjs saw, by module."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "text.egs").write_bytes(model_bytes(text_model()))
    config = replace(CONFIG, vocab=40_000)
    (folder / "large.egs").write_bytes(model_bytes(random_model(config, dtype="f32", chunk=8, context=64, seed=1)))
    script = HERE / "engine_node.mjs"
    found = {
        variant: json.loads(run_node(script, package / "engine.js", wasm_modules[variant], folder))
        for variant in ("simd", "scalar")
    }
    return found, {path.stem: path.stat().st_size for path in folder.iterdir()}


@pytest.fixture(params=["simd", "scalar"])
def engine(request, seen):
    return seen[0][request.param]


def test_headers_tell_the_length_or_what_is_wrong(engine, seen):
    assert engine["headers"]["length"] == seen[1]["text"]
    assert [code for code, _ in engine["headers"]["wrong"]] == ["FILE_MAGIC", "FILE_TRUNCATED", "FILE_MAGIC"]
    assert "web page" in engine["headers"]["wrong"][2][1]


def test_other_sessions_over_a_model_take_no_new_memory(engine):
    memory = engine["memory"]["seen"]
    assert len(memory) == 40
    assert set(memory[10:]) == {memory[10]}


def test_memory_is_that_of_file_and_session(engine, seen):
    large = engine["large"]
    assert large["fileBytes"] == seen[1]["large"] > 5 * MIB
    assert 0 <= large["memoryBytes"] - large["fileBytes"] - large["sessionBytes"] < 2 * MIB


def test_sessions_are_predicted_before_the_weights_are_there(engine, seen):
    found = engine["prediction"]
    assert found["after"] < seen[1]["large"] / 20
    assert 0.2 * found["sessionBytes"] < engine["large"]["sessionBytes"] < found["sessionBytes"] + 4 * MIB


def test_wrong_calls_say_so(engine):
    found = engine["misuse"]
    assert found["notStarted"][0] == "NO_LANGUAGE_MODEL"
    assert found["absent"][0] == found["endAbsent"][0] == "GENERATION_ABSENT"
    assert found["busy"] == ["SESSION_BUSY"] * 4
    assert found["cancelled"] == "cancelled"
    assert found["unknownPlan"][0] == "PLAN_UNKNOWN"
    assert found["text"] == found["afterRun"]
    assert found["options"] == ["OPTION_RANGE", "OPTION_RANGE", "STOP_TEXT", "SAMPLING_RANGE", "OPTION_RANGE"]
    refused = ["OPTION_RANGE", "OPTION_RANGE", "OPTION_RANGE", "ATTENTION_THETA", "CONTEXT_RANGE"]
    assert found["attention"] == refused
    assert found["disposed"][0] == "SESSION_DISPOSED"


def test_after_a_trap_an_engine_refuses_everything(engine):
    code, message = engine["trapped"]["first"]
    assert code == "WASM_FAILED"
    assert "a trap inside the core" in message
    # Not the text of the step before once more.
    assert engine["trapped"]["between"] == "WASM_FAILED"
    assert engine["trapped"]["later"] == ["WASM_FAILED"] * 3


def test_limits_of_memory_are_kept_and_named(engine):
    found = engine["exhausted"]
    for name in ("reserve", "open", "start"):
        code, message = found[name]
        assert code == "MEMORY_EXHAUSTED", name
        assert any(character.isdigit() for character in message), name
    assert found["text"] == engine["misuse"]["text"][: len(found["text"])]


@pytest.mark.parametrize("variant", ["simd", "scalar"])
def test_the_heap_keeps_blocks_apart_and_merges_free_ones(run_node, wasm_modules, variant):
    found = json.loads(run_node(HERE / "heap_node.mjs", wasm_modules[variant]))
    assert found["afterwards"] < 1.5 * found["most"] + 2 * MIB
    assert found["withExact"] - found["exact"] < found["afterwards"]


def test_status_codes_are_those_of_the_core():
    spec = importlib.util.spec_from_file_location("wasm_build", ROOT / "wasm" / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    assert module.STATUS_CODES.read_text() == module.status_codes()
    assert '"LOGITS_NOT_FINITE"' in module.status_codes()


@pytest.mark.parametrize("variant", ["simd", "relaxed", "scalar"])
def test_a_module_asks_for_the_clock_alone(run_node, wasm_modules, variant, tmp_path):
    script = tmp_path / "list.mjs"
    script.write_text(
        "import {readFileSync} from 'node:fs';"
        "const m = new WebAssembly.Module(readFileSync(process.argv[2]));"
        "console.log(JSON.stringify({i: WebAssembly.Module.imports(m), e: WebAssembly.Module.exports(m)}))"
    )
    found = json.loads(run_node(script, wasm_modules[variant], flags=["--experimental-wasm-relaxed-simd"]))
    assert found["i"] == [{"module": "edge_sparse", "name": "now", "kind": "function"}]
    declared = (ROOT / "wasm" / "js" / "src" / "exports.ts").read_text()
    assert all(f"  {entry['name']}(" in declared or entry["name"] == "memory" for entry in found["e"])
