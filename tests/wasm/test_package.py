"""The npm package in pages and Node.js: sources, downloads that go wrong, cache, modules, workers, pictures."""

import gzip
import hashlib
import json

import numpy as np
import pytest
from chromium_site import BLANK, ISOLATED, Reply, Site
from replaying import HERE

import edge_sparse as es

DIGITS = "/digits.egs"
WASM = "/edge-sparse/edge_sparse.wasm"
HTML = b"<!doctype html><html><title>Sign in</title><p>Please sign in to go on.</p></html>"
#: What a page may load, compressed: scripts and one of the modules.
BUDGET = 120 * 1024
NEAR = 1e-5
WHERE = pytest.mark.parametrize("worker", [True, False], ids=["worker", "main thread"])


@pytest.fixture(scope="module")
def image(digits):
    return digits[1][0].ravel().tolist()


@pytest.fixture(scope="module")
def expected(digits):
    """Return the scores that Python gives."""
    with es.load(digits[0]) as session:
        return np.asarray(session(digits[1][0][None])).ravel()


def right(found, expected):
    """Tell whether a page's scores are Python's."""
    return "scores" in found and np.allclose(found["scores"], expected, rtol=NEAR, atol=NEAR * np.abs(expected).max())


@WHERE
def test_every_source(worker, call, image, expected):
    found = call("sources", image, {"worker": worker})
    assert len(found) == 8
    assert [kind for kind, session in found.items() if not right(session, expected)] == [], found


@WHERE
def test_progress_tells_bytes_of_the_whole_file(worker, call, digits):
    steps = call("progress", {"worker": worker, "cache": False})
    size = digits[0].stat().st_size
    assert [step["stage"] for step in steps][-2:] == ["open", "ready"]
    assert {step["stage"] for step in steps[:-2]} == {"download"}
    assert [step["loaded"] for step in steps] == sorted(step["loaded"] for step in steps)
    assert {(step["loaded"], step["total"]) for step in steps[-2:]} == {(size, size)}
    assert steps[-3]["total"] == size


def bad_replies(data):
    """Return what a server may answer instead of a model, and the code and some words of the error."""
    return {
        "/missing.egs": (Reply(HTML, 404, "text/html"), "DOWNLOAD_FAILED", "404"),
        "/broken.egs": (Reply(b"", 500), "DOWNLOAD_FAILED", "500"),
        "/page.egs": (Reply(HTML, content_type="text/html"), "FILE_MAGIC", "web page"),
        "/tiny-page.egs": (Reply(b"<p>no"), "FILE_MAGIC", "web page"),
        "/words.egs": (Reply(b"x" * 5000), "FILE_MAGIC", ""),
        "/empty.egs": (Reply(b""), "FILE_TRUNCATED", ""),
        "/cut.egs": (Reply(data[:-5000], length=len(data)), "DOWNLOAD_FAILED", "broke off"),
        "/short.egs": (Reply(data[:-1]), "FILE_TRUNCATED", str(len(data))),
        "/short-unsaid.egs": (Reply(iter([data[:2000]])), "FILE_TRUNCATED", "2000"),
        "/long.egs": (Reply(data + b"\0"), "FILE_TRAILING", str(len(data))),
        "/head.egs": (Reply(data[:64]), "FILE_TRUNCATED", ""),
        "/changed.egs": (Reply(data[:-200] + bytes([data[-200] ^ 1]) + data[-199:]), "BLOB_CRC", ""),
    }


@WHERE
def test_bad_downloads_say_what_went_wrong(worker, call, site, digits, image, expected_errors):
    expected_errors += ["404", "500", "ERR_CONTENT_LENGTH_MISMATCH"]
    replies = bad_replies(digits[0].read_bytes())
    site.replies.update({path: reply for path, (reply, _, _) in replies.items()})
    found = dict(zip(replies, call("createMany", list(replies), image, {"worker": worker}), strict=True))
    for path, (_, code, words) in replies.items():
        assert found[path].get("code") == code, (path, found[path])
        assert words in found[path]["message"], (path, found[path])
        assert found[path]["hint"]
    assert call("cacheContents", image)["kept"] == []


@WHERE
def test_responses_that_went_wrong(worker, call, site, digits, image, expected_errors):
    expected_errors += ["404", "ERR_CONTENT_LENGTH_MISMATCH"]
    replies = bad_replies(digits[0].read_bytes())
    for path in ("/missing.egs", "/page.egs", "/cut.egs", "/short.egs"):
        reply, code, words = replies[path]
        site.replies[path] = reply
        found = call("createFromResponse", path, image, {"worker": worker})
        assert (found.get("code"), words in found["message"]) == (code, True), found


@WHERE
def test_hashes(worker, call, digits, image, expected):
    right_hash = hashlib.sha256(digits[0].read_bytes()).hexdigest()
    options = {"worker": worker, "sha256": right_hash.upper()}
    assert right(call("create", DIGITS, image, options), expected)
    wrong_hash = hashlib.sha256(b"").hexdigest()
    found = call("create", DIGITS, image, {"worker": worker, "sha256": wrong_hash, "cache": False})
    assert found["code"] == "DOWNLOAD_HASH"
    assert right_hash in found["message"]
    assert wrong_hash in found["message"]


@WHERE
def test_too_little_memory(worker, call, image):
    found = call("create", DIGITS, image, {"worker": worker, "memoryLimit": 20000})
    assert found["code"] == "MEMORY_EXHAUSTED"
    assert "MiB" in found["message"]


@WHERE
def test_what_is_kept_needs_no_server(worker, call, site, page, image, expected, expected_errors):
    expected_errors.append("ERR_INTERNET_DISCONNECTED")
    options = {"worker": worker}
    first = call("create", DIGITS, image, options)
    again = call("create", DIGITS, image, options)
    assert right(first, expected)
    assert right(again, expected)
    assert first["cached"]
    assert again["cached"]
    assert site.requests[DIGITS] == 1
    # The scripts of the worker are the page's own business, so only this thread goes on without a server.
    page.context.set_offline(True)
    assert right(call("create", DIGITS, image, {"worker": False}), expected)
    found = call("create", DIGITS, image, {"worker": False, "cache": False})
    assert found["code"] == "DOWNLOAD_FAILED"
    page.context.set_offline(False)
    assert not call("create", DIGITS, image, {**options, "cache": False})["cached"]
    assert site.requests[DIGITS] == 2


def test_what_is_kept_can_be_listed_and_dropped(call, site, digits, image):
    call("create", DIGITS, image, {})
    found = call("cacheContents", image)
    assert found["kept"] == [{"url": site.url + DIGITS, "bytes": digits[0].stat().st_size}]
    assert found["deleted"] == [True, False]
    assert found["left"] == []
    assert found["cleared"] == []


@WHERE
def test_spoiled_copies_are_fetched_again_once(worker, call, site, digits, image, expected):
    data = digits[0].read_bytes()
    for spoiled in ("nonsense", ""):
        call("spoilCache", spoiled)
        site.requests.clear()
        found = call("create", DIGITS, image, {"worker": worker})
        assert right(found, expected)
        assert found["cached"]
        assert site.requests[DIGITS] == 1
        assert right(call("create", DIGITS, image, {"worker": worker}), expected)
        assert site.requests[DIGITS] == 1
    # A newer model at the same address: the kept one has another hash.
    newer = data[:-200] + bytes([data[-200] ^ 1]) + data[-199:]
    site.replies[DIGITS] = Reply(newer)
    newer_hash = hashlib.sha256(newer).hexdigest()
    assert call("create", DIGITS, image, {"worker": worker, "sha256": newer_hash})["code"] == "BLOB_CRC"
    assert site.requests[DIGITS] == 2


@WHERE
def test_copies_stay_where_the_module_is_missing(worker, call, site, image, expected, expected_errors):
    expected_errors.append("404")
    found = call("keptWithoutModule", image, {"worker": worker})
    assert right(found["before"], expected)
    assert found["failed"]["code"] == "WASM_FAILED"
    assert found["kept"] == 1
    assert site.requests[DIGITS] == 1


def test_other_origins_may_compress(chromium, site, package, digits, image, expected):
    site.folders.update({"/edge-sparse/": package, "/calls/": HERE})
    data = gzip.compress(digits[0].read_bytes())
    assert len(data) < digits[0].stat().st_size
    other = Site()
    headers = {"Access-Control-Allow-Origin": "*", "Content-Encoding": "gzip"}
    other.replies[DIGITS] = Reply(data, headers=headers)
    context = chromium.new_context(base_url=site.url)
    try:
        page = context.new_page()
        page.goto("/")
        script = "async (given) => (await import('/calls/package_page.mjs')).create(...given)"
        found = page.evaluate(script, [other.url + DIGITS, image, {"cache": False}])
    finally:
        context.close()
        other.close()
    assert right(found, expected), found


@WHERE
def test_full_disks_are_survived(worker, call, site, page, image, expected):
    page.goto("/")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": site.url, "quotaSize": 1000})
    for _ in range(2):
        found = call("create", DIGITS, image, {"worker": worker})
        assert right(found, expected)
        assert not found["cached"]
    assert site.requests[DIGITS] == 2
    assert call("cacheContents", image)["kept"] == []


@WHERE
def test_modules_given_by_the_page(worker, call, site, wasm_modules, image, expected):
    site.folders["/modules/"] = wasm_modules["simd"].parent
    found = call("modulesGiven", "/modules/edge_sparse.wasm", image, {"worker": worker})
    assert len(found) == 5
    assert [kind for kind, session in found.items() if not right(session, expected)] == [], found
    assert not site.requests[WASM]


@pytest.mark.parametrize("kind", ["text/plain", "application/wasm; charset=utf-8"])
def test_modules_are_compiled_once_whatever_their_type(kind, call, site, package, image, expected):
    site.replies[WASM] = Reply((package / "edge_sparse.wasm").read_bytes(), content_type=kind)
    found = call("createMany", [DIGITS] * 3, image, {})
    assert all(right(session, expected) for session in found)
    assert site.requests[WASM] == 1


@WHERE
def test_missing_modules(worker, call, site, image, expected, expected_errors):
    expected_errors.append("404")
    site.replies[WASM] = Reply(HTML, 404, "text/html")
    found = call("create", DIGITS, image, {"worker": worker})
    assert found["code"] == "WASM_FAILED"
    assert "404" in found["message"]
    site.replies[WASM] = Reply(HTML, content_type="application/wasm")
    assert call("create", DIGITS, image, {"worker": worker})["code"] == "WASM_FAILED"
    del site.replies[WASM]
    assert right(call("create", DIGITS, image, {"worker": worker}), expected)


@pytest.mark.parametrize(
    ("policy", "allowed"), [("script-src 'self'", False), ("script-src 'self' 'wasm-unsafe-eval'", True)]
)
def test_security_policies(policy, allowed, call, site, image, expected, expected_errors):
    expected_errors.append("wasm-eval|WebAssembly")
    site.replies["/"] = Reply(BLANK, content_type="text/html", headers={"Content-Security-Policy": policy})
    found = call("create", DIGITS, image, {})
    if allowed:
        assert right(found, expected)
    else:
        assert found["code"] == "WASM_FAILED"
        assert "wasm-unsafe-eval" in found["hint"]


def test_browsers_without_simd(call, page, image):
    page.add_init_script("WebAssembly.validate = () => false")
    found = call("create", DIGITS, image, {})
    assert found["code"] == "WASM_FAILED"
    assert "SIMD" in found["message"]


@pytest.mark.parametrize("headers", [{}, ISOLATED], ids=["plain", "isolated"])
def test_features(headers, call, site):
    site.headers.update(headers)
    assert call("features") == {"simd": True, "relaxedSimd": True, "threads": bool(headers)}


def test_workers_of_the_page(call, page, image, expected):
    page.goto("/")
    with page.expect_event("worker") as started:
        assert right(call("ownWorker", image), expected)
    assert started.value.url.startswith("blob:")


def test_broken_workers(call, image, expected_errors):
    expected_errors.append("404")
    found = call("brokenWorkers", image)
    assert {error["code"] for error in found.values()} == {"WORKER_FAILED"}
    assert "no workers today" in found["thrown"]["message"]


@WHERE
def test_every_kind_of_picture(worker, call, digits):
    grey = np.rint(digits[1][0][0] * 255).astype(np.uint8)
    pixels = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    with es.load(digits[0]) as session:
        label, probability = session.classify(grey[..., None], top=1)[0]
    found = call("pictures", pixels.ravel().tolist(), 16, {"worker": worker})
    unloaded = found.pop("unloaded")
    assert unloaded["code"] == "PICTURE_UNREADABLE"
    assert len(found) == 7
    for classes in found.values():
        assert len(classes) == 2
        assert classes[0]["label"] == label
        assert classes[0]["probability"] == pytest.approx(probability, abs=1e-4)


def test_node(package, digits, run_node):
    found = json.loads(run_node(HERE / "package_node.mjs", package / "index.js", digits[0]))
    with es.load(digits[0]) as session:
        shape = (1, *digits[1][0].shape)
        ramp = (np.arange(np.prod(shape)) % 7 / np.float32(7)).astype(np.float32).reshape(shape)
        expected = np.asarray(session(ramp)).ravel()
    for kind in ("address", "text", "bytes"):
        assert right({"scores": found[kind]}, expected), kind
    assert found["missing"] == "FILE_UNREADABLE"
    assert found["relative"] == "DOWNLOAD_FAILED"
    assert found["features"]["simd"]
    assert found["cached"] == []


def test_size(package, run_node):
    sizes = json.loads(run_node(package.parent / "size.mjs"))
    for module in ("edge_sparse.wasm", "edge_sparse_relaxed.wasm"):
        assert sizes["JavaScript"]["brotli"] + sizes[module]["brotli"] <= BUDGET
