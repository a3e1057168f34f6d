"""A static server in a thread for pages under test: folders under prefixes, bad answers at paths, counts."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from urllib.parse import unquote, urlsplit

__all__ = ["ISOLATED", "Reply", "Site"]

#: Headers of a page that may share memory between threads.
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
BLANK = b'<!doctype html><html lang="en"><title>test</title><link rel="icon" href="data:,"><body></body></html>'
CHUNK = 64 * 1024


@dataclass(frozen=True)
class Reply:
    """What the server answers: as it is, cut short, slow or wrong.

    ``length`` is the Content-Length that it claims: by default that of a body of bytes, and none for parts.
    ``pause`` is the seconds between parts of 64 KiB.
    """

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    length: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0

    def parts(self) -> Iterable[bytes]:
        """Return the body in the parts that are sent."""
        if not isinstance(self.body, bytes):
            return self.body
        return (self.body[at : at + CHUNK] for at in range(0, len(self.body), CHUNK))

    def claimed(self) -> int | None:
        """Return the Content-Length, or None where there is none."""
        return len(self.body) if self.length is None and isinstance(self.body, bytes) else self.length


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        # Browsers drop connections when pages close.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Site:
    """The server. ``folders`` and ``replies`` go from paths to what lies there, and may change while it runs."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.replies: dict[str, Reply] = {}
        self.headers: dict[str, str] = {}
        #: Requests and body bytes sent, by path.
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Return the origin, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def clear(self) -> None:
        """Forget folders, replies, headers and counts."""
        for kept in (self.folders, self.replies, self.headers, self.requests, self.sent):
            kept.clear()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def reply(self, path: str) -> Reply:
        """Return what a request for a path gets; "/" is an empty page unless something lies there."""
        if path in self.replies:
            return self.replies[path]
        for prefix in sorted(self.folders, key=len, reverse=True):
            file = self.folders[prefix] / unquote(path.removeprefix(prefix)).lstrip("/")
            file = file / "index.html" if path.endswith("/") else file
            if path.startswith(prefix) and file.is_file():
                return Reply(file.read_bytes(), content_type=CONTENT_TYPES.get(file.suffix, Reply.content_type))
        if path == "/":
            return Reply(BLANK, content_type=CONTENT_TYPES[".html"])
        return Reply(b"<!doctype html><title>not found</title>", 404, CONTENT_TYPES[".html"])


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            site.requests[path] += 1
            reply = site.reply(path)
            self._head(reply)
            # A small buffer, so that bytes count as sent only when somebody takes them.
            self.connection.setsockopt(SOL_SOCKET, SO_SNDBUF, CHUNK)
            count = 0
            try:
                for part in reply.parts():
                    self.wfile.write(part)
                    site.sent[path] += len(part)
                    count += len(part)
                    time.sleep(reply.pause)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            # Where the length was not told or not reached, only a closed connection ends the answer.
            if count != reply.claimed():
                self.close_connection = True

        def do_HEAD(self) -> None:
            self._head(site.reply(urlsplit(self.path).path))

        def _head(self, reply: Reply) -> None:
            self.send_response(reply.status)
            length = reply.claimed()
            headers = {"Content-Type": reply.content_type, "Cache-Control": "no-cache"}
            headers.update({"Content-Length": str(length)} if length is not None else {"Connection": "close"})
            for name, value in {**headers, **site.headers, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent: tests count requests themselves."""

    return Handler
