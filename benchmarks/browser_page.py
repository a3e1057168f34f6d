"""A headless Chromium with one page of benchmarks/browser, its server, and the peers from npm."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["ROOT", "chromium", "install_peers", "module_page", "served"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "benchmarks" / "browser"
#: As root in a container, without graphics, and without calls home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: What lets a page read a clock of 5 microseconds instead of 100.
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
BLANK = b'<!doctype html><html lang="en"><title>benchmark</title><link rel="icon" href="data:,"><body></body></html>'


def install_peers(folder: Path) -> Path:
    """Install what package-lock.json names into a folder, once, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("package.json", "package-lock.json", ".npmrc")
    done = folder / "node_modules" / ".package-lock.json"
    if not done.is_file() or any((PAGES / n).read_bytes() != (folder / n).read_bytes() for n in names):
        for name in names:
            shutil.copy(PAGES / name, folder / name)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return folder


class _Handler(SimpleHTTPRequestHandler):
    """Folders under prefixes; an empty page at "/" and, isolated, at "/isolated"."""

    protocol_version = "HTTP/1.1"
    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *arguments: object, folders: Mapping[str, Path]) -> None:
        self.folders = folders
        super().__init__(*arguments)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        """Return the file below the longest prefix."""
        path = path.split("?")[0]
        for prefix in sorted(self.folders, key=len, reverse=True):
            if path.startswith(prefix) and ".." not in path:
                return str(self.folders[prefix] / path.removeprefix(prefix))
        return str(PAGES / "no such file")

    def do_GET(self) -> None:
        """Answer."""
        if self.path not in ("/", "/isolated"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(BLANK)))
        for name, value in ISOLATED.items() if self.path == "/isolated" else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(BLANK)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Pages that were closed hang up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def served(folders: Mapping[str, Path]) -> Iterator[str]:
    """Serve folders under prefixes such as "/models/"; gives the origin."""
    folders = {"/browser/": PAGES, **folders}
    server = _Server(("127.0.0.1", 0), functools.partial(_Handler, folders=folders))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium(executable: str | None = None) -> Iterator[Browser]:
    """Start the browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = executable or next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        raise SystemExit("no Chromium found; install it, or name it with --chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


def module_page(browser: Browser, origin: str, module: str, isolated: bool = False) -> Page:
    """Open a page whose global ``bench`` is a module of benchmarks/browser."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: print(f"page error: {error}"))
    page.goto(f"{origin}/{'isolated' if isolated else ''}")
    page.evaluate("async (address) => { globalThis.bench = await import(address); }", f"/browser/{module}")
    if page.evaluate("crossOriginIsolated") != isolated:
        raise RuntimeError("the page is isolated when it should not be, or not when it should")
    return page
