"""Sessions at awkward moments: at once, disposed or aborted while busy, called wrongly; all ends in typed errors."""

import sys
from pathlib import Path

import pytest
from chromium_site import Reply
from replaying import HERE

from edge_sparse.format.writer import model_bytes

sys.path[:0] = [str(Path(__file__).parents[1] / "backends" / "native"), str(Path(__file__).parents[1] / "llm")]
from native_text import text_model  # noqa: E402
from small_decoder import BYTES  # noqa: E402

DISPOSED = {"name": "EdgeSparseError", "code": "SESSION_DISPOSED"}
ABORTED = {"name": "AbortError", "code": "ABORTED"}


@pytest.fixture(params=[True, False], ids=["worker", "main thread"])
def call(request, page, site, package, digits):
    """Return a function that calls one of session_races.mjs."""
    site.folders.update({"/edge-sparse/": package, "/races/": HERE})
    site.replies["/digits.egs"] = Reply(digits[0].read_bytes())
    site.replies["/text.egs"] = Reply(model_bytes(text_model(BYTES)))
    page.goto("/")
    script = "async ([name, options]) => await (await import('/races/session_races.mjs'))[name](options)"
    return lambda name: page.evaluate(script, [name, {"worker": request.param}])


@pytest.fixture(params=[True, False], ids=["worker", "main thread"])
def schedule(request, page, site, package):
    """Return a function that makes calls in the random order of a seed, and returns what went wrong."""
    site.folders.update({"/edge-sparse/": package, "/races/": HERE})
    site.replies["/text.egs"] = Reply(model_bytes(text_model(BYTES)))
    page.goto("/")
    script = "async (given) => await (await import('/races/session_schedule.mjs')).schedule(...given)"
    return lambda seed, steps: page.evaluate(script, [{"worker": request.param}, seed, steps])


@pytest.mark.parametrize("seed", range(3))
def test_calls_in_any_order(seed, schedule):
    assert schedule(seed, 150) == []


def test_runs_at_once(call):
    found = call("runsAtOnce")
    assert found["together"] == found["alone"] * 2
    assert len({tuple(data) for data in found["alone"]}) == 5


def test_callers_keep_their_arrays(call):
    found = call("buffersStay")
    assert found["file"] > 1000
    assert found["input"] > 100


def test_disposing_ends_what_is_under_way(call):
    found = call("disposeWhileBusy")
    assert found["run"] == DISPOSED or "value" in found["run"]
    assert found["later"] == DISPOSED
    assert found["result"] == DISPOSED
    assert found["rest"] == DISPOSED


def test_aborting_at_every_stage(call):
    found = call("abortEverywhere")
    assert found["before"] == ABORTED
    assert found["download"] == ABORTED
    assert found["open"] == ABORTED
    assert found["after"]["ran"] == 10


def test_interrupted_texts(call):
    found = call("interruptedTexts")
    whole = found["whole"]
    assert len(whole) > 10
    assert whole.startswith(found["first"])
    # A worker may have written all 24 tokens before it hears that nobody reads on.
    assert found["brokenResult"]["value"]["finish"] in ("cancelled", "length")
    assert found["abortedText"] == ABORTED or "value" in found["abortedText"]
    assert found["both"][0]["value"] == whole
    assert found["both"][1] == {"value": whole} or found["both"][1]["code"] == "SESSION_BUSY"
    assert found["duringText"]["value"] == whole
    assert found["unreadResult"]["value"]["finish"] == "length"
    assert found["again"]["value"] == whole


def test_wrong_calls(call, expected_errors):
    expected_errors.append("404")
    found = call("wrongCalls")
    wrong = {what: code for what, code in found["results"].items() if code == "NONE" or " " in code}
    assert not wrong, wrong
    # What is the caller's mistake is not called a failure of the core.
    assert {what for what, code in found["results"].items() if code == "WASM_FAILED"} == {
        "noWasm",
        "otherWasm",
        "badWasm",
    }
    assert found["stillRuns"] == 10
    assert found["stillWrites"] >= 1


def test_runs_between_texts(call):
    assert len(set(call("runBetweenTexts"))) == 1
