"""Memory in browsers: sessions that come and go leave none behind, files load once, and what is too much is refused."""

from dataclasses import replace

import numpy as np
import pytest
from chromium_site import ISOLATED, Reply
from edge_sparse.converters.decoder.config import DecoderConfig, inverse_frequencies
from edge_sparse.converters.decoder.random_model import random_model
from renderer_memory import MEGABYTE, Renderer
from replaying import HERE

from edge_sparse.format.writer import write_model

CYCLES = 200
#: Rounds before memory is measured: engines compile and tune, pools of pages fill.
WARM_UP = 40
#: Flat is less than 50 KB a round: a session of the digits takes 330 KB, and what was seen is 15 KB.
FLAT = 8 * MEGABYTE
#: Less than 2 KB a round; what was seen is 0.1 KB.
FLAT_HEAP = 0.25 * MEGABYTE
OVERHEAD = 32 * MEGABYTE


@pytest.fixture
def served(site, package, digits):
    """Put the package, the cycles and the digits network on the server."""
    site.folders.update({"/edge-sparse/": package, "/cycles/": HERE})
    site.replies["/digits.egs"] = Reply(digits[0].read_bytes())
    return site


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return a file of 100 MB: a decoder with random weights."""
    path = tmp_path_factory.mktemp("large") / "large.egs"
    frequencies = inverse_frequencies(64, 10000.0)
    config = DecoderConfig("large", 1024, 8, 16, 16, 64, 2816, 4096, 256, 1e-5, frequencies)
    model = random_model(config, dtype="s8", chunk=32, context=256)
    # Equal blobs would be stored once.
    matrices = [replace(m, values=np.roll(m.values, number)) for number, m in enumerate(model.matrices)]
    write_model(replace(model, matrices=tuple(matrices)), path)
    assert 95 * MEGABYTE < path.stat().st_size < 130 * MEGABYTE
    return path


def call(page, function, *arguments):
    """Call a function of memory_cycles.mjs."""
    script = "async ([name, given]) => await (await import('/cycles/memory_cycles.mjs'))[name](...given)"
    return page.evaluate(script, [function, list(arguments)])


@pytest.mark.parametrize("worker", [True, False], ids=["worker", "main thread"])
def test_sessions_that_come_and_go_leave_nothing(worker, page, served):
    page.goto("/")
    call(page, "cycle", "/digits.egs", {"worker": worker}, WARM_UP)
    renderer = Renderer(page)
    renderer.collect_garbage()
    resident, heap = renderer.resident(), renderer.heap()
    call(page, "cycle", "/digits.egs", {"worker": worker}, CYCLES - WARM_UP)
    renderer.collect_garbage()
    assert renderer.resident() - resident < FLAT
    assert renderer.heap() - heap < FLAT_HEAP
    assert not page.workers


def test_sessions_that_are_kept_would_be_seen(page, served):
    page.goto("/")
    call(page, "cycle", "/digits.egs", {"worker": False}, WARM_UP)
    renderer = Renderer(page)
    renderer.collect_garbage()
    resident = renderer.resident()
    call(page, "cycle", "/digits.egs", {"worker": False}, (CYCLES - WARM_UP) // 4, True)
    renderer.collect_garbage()
    assert renderer.resident() - resident > FLAT


def loaded(page, renderer, url, options):
    """Load a file and use it once; return what it says of its memory, and the most that the process had on top."""
    renderer.collect_garbage()
    renderer.reset_peak()
    resident = renderer.resident()
    info = call(page, "load", url, options)
    return info, renderer.peak() - resident


@pytest.mark.parametrize("options", [{"cache": False}, {"cache": True}, {"cache": True, "worker": False}], ids=str)
def test_a_large_file_is_in_memory_once(options, page, served, large):
    served.folders["/models/"] = large.parent
    url = f"/models/{large.name}"
    page.goto("/")
    call(page, "cycle", "/digits.egs", {}, 2)
    renderer = Renderer(page)
    places = {"server": 3, "cache": 1} if options["cache"] else {"server": 3}
    for place, attempts in places.items():
        # How much is on its way to the disk depends on the browser's other processes: on a busy machine some 40 MB.
        for _ in range(attempts):
            if place == "server":
                page.evaluate("caches.keys().then((names) => Promise.all(names.map((name) => caches.delete(name))))")
            asked = served.requests[url]
            info, peak = loaded(page, renderer, url, options)
            most = info["fileBytes"] + info["sessionBytes"] + OVERHEAD
            assert served.requests[url] == asked + (place == "server")
            assert info["fileBytes"] == large.stat().st_size
            assert info["finite"]
            assert info["memoryBytes"] <= most
            if peak <= most:
                break
        else:
            pytest.fail(f"{place}: {peak / MEGABYTE:.0f} MB, at most {most / MEGABYTE:.0f}")


def test_what_does_not_fit_is_refused_before_it_is_there(page, served, large):
    served.folders["/models/"] = large.parent
    page.goto("/")
    path = f"/models/{large.name}"
    error = call(page, "refused", path, {"memoryLimit": 64 * MEGABYTE})
    assert error["code"] == "MEMORY_EXHAUSTED"
    assert "64" in error["message"] + error["hint"]
    # Of 100 MB some are under way when the page says stop.
    assert served.sent[path] < 16 * MEGABYTE


@pytest.mark.parametrize("headers", [{}, ISOLATED], ids=["plain", "isolated"])
@pytest.mark.parametrize("worker", [True, False], ids=["worker", "main thread"])
def test_pages_with_and_without_isolation(headers, worker, page, served):
    served.headers.update(headers)
    page.goto("/")
    assert page.evaluate("crossOriginIsolated") == bool(headers)
    call(page, "cycle", "/digits.egs", {"worker": worker}, 2)
