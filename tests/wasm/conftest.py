"""What tests of the browser's parts need: products of make, Node.js, a server, Chromium, pages that are watched."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from chromium_site import Reply, Site
from replaying import HERE, PLACES, replay_in_node, replay_in_page

ROOT = Path(__file__).parents[2]
#: As root in a container, without graphics, and without calls home.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NODE_SECONDS = 300


@pytest.fixture(scope="session")
def wasm_modules(needed):
    """Return the paths of the compiled core by variant."""
    names = {"simd": "edge_sparse.wasm", "scalar": "edge_sparse_scalar.wasm", "relaxed": "edge_sparse_relaxed.wasm"}
    paths = {variant: ROOT / "build" / "wasm" / name for variant, name in names.items()}
    return needed(all(path.is_file() for path in paths.values()) and paths, "build/wasm", "make wasm")


@pytest.fixture(scope="session")
def package(needed):
    """Return the folder of the built npm package."""
    dist = ROOT / "wasm" / "js" / "dist"
    return needed((dist / "index.js").is_file() and dist, "wasm/js/dist", "make web")


@pytest.fixture(scope="session")
def node(needed):
    return needed(shutil.which("node"), "node", "install Node.js 20 or newer")


@pytest.fixture(scope="session")
def run_node(node):
    """Return a function that runs a script with arguments and returns what it printed."""

    def run(script, *arguments, flags=(), timeout=NODE_SECONDS):
        command = [node, *flags, str(script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def _server():
    server = Site()
    yield server
    server.close()


@pytest.fixture
def site(_server):
    """Return the server, with nothing on it but an empty page at "/"."""
    _server.clear()
    return _server


@pytest.fixture(scope="session")
def chromium(needed):
    """Return the one browser of the session."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    needed(executable, "chromium", "apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        needed(False, "playwright", "pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def artefacts():
    """Return the folder for screenshots that people look at."""
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def expected_errors():
    """Return a list to which a test adds regular expressions of console errors that it causes."""
    return []


@pytest.fixture
def new_page(chromium, site, expected_errors, artefacts, request):
    """Return a function that opens a page in a context of its own; options are those of Playwright's contexts.

    Afterwards the test fails on errors in the console, uncaught exceptions, and requests to any other host.
    """
    contexts, pages, errors, strangers = [], [], [], []

    def watch(page):
        pages.append(page)
        page.on("console", lambda m: m.type == "error" and errors.append(f"{m.text} ({m.location.get('url', '')})"))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("crash", lambda _: errors.append("the page crashed"))

    def note(asked):
        if not asked.url.startswith((site.url + "/", "data:", "blob:" + site.url)):
            strangers.append(asked.url)

    def open_page(**options):
        context = chromium.new_context(base_url=site.url, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        context.on("request", note)
        context.on("page", watch)
        return context.new_page()

    yield open_page
    report = getattr(request.node, "call_report", None)
    if report and report.failed:
        name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)
        for number, page in enumerate(pages):
            _keep_screenshot(page, artefacts / f"failed-{name}-{number}.png")
    for context in contexts:
        context.close()
    unexpected = [text for text in errors if not any(re.search(known, text) for known in expected_errors)]
    assert not strangers, f"requests to other hosts: {strangers}"
    assert not unexpected, f"errors in the console: {unexpected}"


@pytest.fixture
def page(new_page):
    """Return an open page, watched as ``new_page`` says."""
    return new_page()


@pytest.fixture
def call(page, site, package, digits):
    """Return a function that calls one of package_page.mjs in an empty page, beside the digits model."""
    site.folders.update({"/edge-sparse/": package, "/calls/": HERE})
    site.replies["/digits.egs"] = Reply(digits[0].read_bytes())

    def do(name, *arguments):
        if not page.url.startswith(site.url):
            page.goto("/")
        script = "async ([name, given]) => await (await import('/calls/package_page.mjs'))[name](...given)"
        return page.evaluate(script, [name, list(arguments)])

    return do


@pytest.fixture
def replay_in(request, wasm_modules, package, tmp_path):
    """Return a function that runs a function of replay.mjs on cases in one of the places."""

    def run(place, name, cases, **more):
        options = {"wasm": wasm_modules[PLACES[place]["variant"]], **PLACES[place], **more}
        if place.startswith("node"):
            return replay_in_node(request.getfixturevalue("run_node"), package, tmp_path, name, cases, **options)
        page, site = request.getfixturevalue("page"), request.getfixturevalue("site")
        return replay_in_page(page, site, package, name, cases, **options)

    return run


def _keep_screenshot(page, path):
    from playwright.sync_api import Error

    try:
        page.screenshot(path=path, full_page=True, timeout=5000)
    except Error as error:  # a page that crashed or was closed has no picture
        print(f"no screenshot of {page.url}: {error}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.call_report = report
    return report
