"""Language models through the npm package in pages: texts that end, are left or never begun, and their options."""

import sys
from pathlib import Path

import pytest
from chromium_site import Reply
from edge_sparse.converters.decoder.random_model import random_model

from edge_sparse.format.writer import model_bytes

sys.path[:0] = [str(Path(__file__).parents[1] / "backends" / "native"), str(Path(__file__).parents[1] / "llm")]
from native_text import text_model  # noqa: E402
from small_decoder import BYTES, CONFIG  # noqa: E402

WHERE = pytest.mark.parametrize("worker", [True, False], ids=["worker", "main thread"])


@WHERE
def test_texts(worker, call, site):
    site.replies["/text.egs"] = Reply(model_bytes(text_model(BYTES)))
    found = call("texts", {"worker": worker})
    assert (found["result"]["finish"], found["result"]["generatedTokens"]) == ("length", 30)
    assert len(found["text"]) > 10
    assert found["twice"]["code"] == "OPTION_RANGE"
    # A worker of so small a model may be at the text's end before it hears that nobody reads on.
    assert found["leftResult"]["finish"] == "cancelled" or (worker and found["leftResult"]["finish"] == "end")
    assert found["leftResult"]["generatedTokens"] < 12 or worker
    assert found["unbegunResult"].get("finish") in (("cancelled", "end") if worker else ("cancelled",))
    if found["abortedText"] or not worker:
        assert found["abortedText"] == found["abortedResult"]
        assert (found["abortedText"]["name"], found["abortedText"]["code"]) == ("AbortError", "ABORTED")
    assert found["disposed"]["code"] == "SESSION_DISPOSED"


def test_options_of_texts(call, site):
    site.replies["/text.egs"] = Reply(model_bytes(text_model(BYTES)))
    found = call("textOptions", {"worker": False})
    assert found["texts"][0] == found["texts"][1]
    assert isinstance(found["texts"][0], str)
    assert found["kept"]
    assert found["timed"]


@WHERE
def test_a_smaller_context_fits_into_a_smaller_limit(worker, call, site):
    file = model_bytes(random_model(CONFIG, dtype="f32", chunk=8, context=65536, seed=1))
    site.replies["/long.egs"] = Reply(file)
    limit = len(file) + (1 << 20)
    options = {"worker": worker, "cache": False, "memoryLimit": limit}
    assert call("bytesOf", "/long.egs", options) == "MEMORY_EXHAUSTED"
    assert len(file) < call("bytesOf", "/long.egs", {**options, "context": 64}) < limit
    assert call("bytesOf", "/long.egs", {**options, "context": 30000}) == "MEMORY_EXHAUSTED"
