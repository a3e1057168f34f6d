"""edge-sparse demo: what it says, what it hands out, what it refuses."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from edge_sparse.cli import main

PROGRAM = [sys.executable, "-m", "edge_sparse", "demo", "--web", "--no-open"]


@pytest.fixture
def folder(tmp_path):
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html>the page")
    for name in ("a.js", "a.wasm", "a.css", "a.json", "a.svg", "a.egs", "sub/a.js"):
        (site / name).write_text("x" * 100)
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", site / "link.txt")
    return site


@contextmanager
def served(folder, *options, cwd=None):
    command = [*PROGRAM, "--port", "0", *(["--site", str(folder)] if folder else []), *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
    try:
        line = server.stdout.readline()
        yield server, int(line.split("http://127.0.0.1:")[1].split("/")[0])
    finally:
        server.kill()
        server.communicate()


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_files_come_with_their_types_and_are_asked_for_again(folder):
    types = {
        "/": "text/html; charset=utf-8",
        "/a.js": "text/javascript; charset=utf-8",
        "/sub/a.js": "text/javascript; charset=utf-8",
        "/a.wasm": "application/wasm",
        "/a.css": "text/css; charset=utf-8",
        "/a.json": "application/json",
        "/a.svg": "image/svg+xml",
        "/a.egs": "application/octet-stream",
    }
    with served(folder) as (_, port):
        for path, expected in types.items():
            status, headers, body = get(port, path)
            assert (status, headers["Content-Type"]) == (200, expected), path
            assert headers["Cache-Control"] == "no-cache"
            assert int(headers["Content-Length"]) == len(body)
        modified = get(port, "/a.js")[1]["Last-Modified"]
        assert get(port, "/a.js", **{"If-Modified-Since": modified})[0] == 304


@pytest.mark.parametrize(
    "path",
    [
        "/sub/",
        "/sub",
        "/missing",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/link.txt",
        "/a.js/",
        "//etc/passwd",
        "/%00",
        pytest.param("/" + "a" * 300, id="a long name"),
    ],
)
def test_nothing_else_is_handed_out(folder, path):
    with served(folder) as (_, port):
        status, _, body = get(port, path)
        assert status == 404
        assert b"secret" not in body
        assert get(port, "/")[0] == 200


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another matter there")
def test_the_page_of_the_checkout_is_found(folder, tmp_path):
    # Unless the package brings one of its own, or lies in a checkout that has one.
    (tmp_path / "build").mkdir()
    folder.rename(tmp_path / "build" / "web")
    with served(None, cwd=tmp_path) as (_, port):
        status, _, text = get(port, "/")
        assert status == 200
        assert text.startswith(b"<!doctype html>")


def test_interrupt_ends_it_cleanly(folder):
    with served(folder) as (server, port):
        assert get(port, "/")[0] == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 0
        assert server.stderr.read() == "stopped\n"


def test_a_busy_port_is_named(folder, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["demo", "--web", "--no-open", "--site", str(folder), "--port", str(port)]) == 3
    error = capsys.readouterr().err
    assert "PORT_BUSY" in error
    assert str(port) in error
    assert "--port 0" in error


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--site", "nowhere"], "DEMO_MISSING"),
        (["--port", "70000"], "OPTION_RANGE"),
        (["--host", "203.0.113.1"], "SERVER_FAILED"),
        (["--host", "no such host"], "SERVER_FAILED"),
    ],
)
def test_wrong_options_are_named(folder, capsys, options, code):
    site = [] if "--site" in options else ["--site", str(folder)]
    assert main(["demo", "--web", "--no-open", "--json", *site, *options]) != 0
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == code


def test_without_web_it_says_what_the_demo_is(capsys):
    assert main(["demo"]) == 0
    assert "edge-sparse demo --web" in capsys.readouterr().out
