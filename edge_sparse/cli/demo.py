"""Show networks at work in a web page: draw digits, let Shakespeare write, open your own .egs file.

The page is static and asks no other host for anything. What you draw, write or open never leaves the browser: this
command only hands out files.
"""

from __future__ import annotations

import argparse
import errno
import functools
import os
import sys
import threading
import webbrowser
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import edge_sparse
from edge_sparse.cli.console import Console
from edge_sparse.errors import EdgeSparseError, InputError

__all__ = ["EPILOG", "HELP", "SiteHandler", "add_arguments", "run"]

HELP = "try it in a web page"
EPILOG = """\
examples:
  edge-sparse demo --web                        serve the page on this machine and open it
  edge-sparse demo --web --port 0 --no-open     on any free port; prints the address
  edge-sparse demo --web --host 0.0.0.0         also for a phone in the same network

Without https, browsers keep pages of other machines from camera, cache and offline use; the rest works.
A source checkout makes the page with "make web". Ctrl-C ends the server.
"""
ABOUT = """\
The demo is a web page. In it, small networks run on one thread of the browser, without a server's help:
  - draw a digit and see it recognised, by a dense network and by the same one with 80 % of its weights dropped
  - let a small Shakespeare model write, with exact or delta attention
  - open your own .egs file and give it a photo, the camera or a prompt
  - see which layer took how long, and how much of it is left after pruning

start it: edge-sparse demo --web"""

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".egs": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    "": "application/octet-stream",
}
HEADERS = {
    # Kept, but asked for again: an update is seen at once, and what is unchanged is not sent twice.
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    # Isolated pages get a clock of 5 microseconds instead of 100; nothing else here needs it.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--web", action="store_true", help="serve the page and open it in a browser")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0: any that is free (8000)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    parser.add_argument("--site", type=Path, metavar="FOLDER", help="another folder than the installed page")


def run(options: argparse.Namespace, console: Console) -> int:
    """Say what the demo is, or serve it until Ctrl-C."""
    if not options.web:
        for line in ABOUT.splitlines():
            console.line(line)
        console.document({"about": ABOUT})
        return 0
    folder = _site(options.site)
    with _listen(folder, options.host, options.port) as server:
        port = server.server_address[1]
        shown = f"[{options.host}]" if ":" in options.host else options.host
        address = f"http://{'localhost' if shown in ('0.0.0.0', '[::]') else shown}:{port}/"
        console.line(f"the demo is at {address} (Ctrl-C ends it)")
        console.document({"address": address, "folder": folder})
        if not options.no_open:
            # Browsers of the terminal take their time; the page needs the server below.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.note("stopped")
    return 0


def _site(asked: Path | None) -> Path:
    package = Path(edge_sparse.__file__).resolve().parent
    # Of a released package, of an editable one, of the checkout in which the command is called.
    places = [asked] if asked else [package / "web", package.parent / "build" / "web", Path("build") / "web"]
    for place in places:
        if (place / "index.html").is_file():
            return place.resolve()
    names = ", ".join(str(place) for place in places)
    hint = "name the folder with --site, or make it in a source checkout: make web"
    raise InputError("DEMO_MISSING", f"the demo page is not in {names}", hint)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # With it, Windows would let two servers share a port.
    allow_reuse_address = os.name != "nt"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that hang up: they do when a page is left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _listen(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    if not 0 <= port <= 65535:
        raise InputError("OPTION_RANGE", f"--port is {port}", "pass a number from 0 to 65535")
    try:
        return _Server((host, port), functools.partial(SiteHandler, directory=str(folder)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "end the other program, or take any free port: --port 0"
            raise InputError("PORT_BUSY", f"another program uses port {port}", hint) from error
        hint = "pass an address of this machine and a port that you may use"
        raise EdgeSparseError("SERVER_FAILED", f"cannot listen on {host}:{port}: {error}", hint) from error


class SiteHandler(SimpleHTTPRequestHandler):
    """Hands out the files of one folder and nothing else: no listings, nothing through links that lead out of it."""

    protocol_version = "HTTP/1.1"
    server_version = "edge-sparse"
    sys_version = ""
    # Head and body are written one after the other: waiting for the head to arrive costs 40 ms a file.
    disable_nagle_algorithm = True
    extensions_map = TYPES

    def send_head(self) -> Any:
        """Refuse what is not inside the folder; the base class does the rest, conditional requests included."""
        if not self._is_inside():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _is_inside(self) -> bool:
        try:
            path = Path(self.translate_path(self.path)).resolve()
            found = path.is_file() or (path / "index.html").is_file()
        except (ValueError, OSError):  # a zero byte, a name that is too long
            return False
        return found and path.is_relative_to(Path(self.directory).resolve())

    def list_directory(self, path: Any) -> Any:
        """Show no listings."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Add the headers that every answer has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the terminal is for the address."""
