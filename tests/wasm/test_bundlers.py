"""A small app that depends on the packed npm package: type-checked, bundled by Vite and esbuild, run in Chromium."""

import shutil
import subprocess
import tarfile

import pytest
from chromium_site import Reply
from replaying import HERE

import edge_sparse as es

JAVASCRIPT = HERE.parents[1] / "wasm" / "js"
ESBUILD_OPTIONS = ["--bundle", "--format=esm", "--target=es2022", "--minify", "--outdir=out", "--log-level=warning"]
BUNDLERS = {
    "vite": [["vite", "build", "--outDir", "out", "--logLevel", "warn"]],
    "esbuild": [
        ["esbuild", "app.ts", "worker=node_modules/edge-sparse/dist/worker.js", *ESBUILD_OPTIONS],
        ["cp", "node_modules/edge-sparse/dist/edge_sparse.wasm", "out"],
    ],
}


def command(words, folder):
    """Run one of the tools that the package is developed with; returns what it printed."""
    tool = JAVASCRIPT / "node_modules" / ".bin" / words[0]
    program = tool if tool.exists() else words[0]
    done = subprocess.run([program, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def app(package, node, needed, tmp_path_factory):
    """Return a copy of the app whose node_modules hold the package as npm packs it."""
    needed((JAVASCRIPT / "node_modules" / ".bin" / "vite").exists(), "vite", "npm ci in wasm/js")
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(HERE / "bundle_app", folder, dirs_exist_ok=True)
    command(["npm", "pack", "--ignore-scripts", "--pack-destination", folder, JAVASCRIPT], folder)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (folder / "node_modules").mkdir()
    (folder / "unpacked" / "package").rename(folder / "node_modules" / "edge-sparse")
    return folder


def test_packed_files(app):
    names = {path.name for path in (app / "node_modules" / "edge-sparse").rglob("*") if path.is_file()}
    assert {"package.json", "README.md", "LICENSE", "index.js", "index.d.ts", "worker.js", "edge_sparse.wasm"} <= names
    assert not {name for name in names if name.endswith((".ts", ".mjs", ".map")) and not name.endswith(".d.ts")}


def test_types(app):
    command(["tsc", "-p", "."], app)
    wrong = (app / "app.ts").read_text().replace("top: 1", 'top: "1"')
    (app / "wrong.ts").write_text(wrong)
    (app / "wrong.json").write_text('{"extends": "./tsconfig.json", "include": ["wrong.ts"]}')
    with pytest.raises(AssertionError, match="TS2322"):
        command(["tsc", "-p", "wrong.json"], app)


@pytest.mark.parametrize("bundler", BUNDLERS)
def test_bundles_run(bundler, app, page, site, digits):
    folder = app.with_name(f"{app.name}-{bundler}")
    shutil.copytree(app, folder)
    # Bundlers print warnings where they cannot follow what the package does.
    assert [command(words, folder) for words in BUNDLERS[bundler]] == [""] * len(BUNDLERS[bundler])
    if bundler == "esbuild":
        (folder / "out" / "index.html").write_text((folder / "index.html").read_text().replace("app.ts", "app.js"))
    site.folders["/"] = folder / "out"
    site.replies["/digits.egs"] = Reply(digits[0].read_bytes())
    with page.expect_event("worker"):
        page.goto("/index.html")
    line = page.locator("p")
    line.wait_for()
    with es.load(digits[0]) as session:
        labels = session.model.labels
    text = line.text_content()
    assert text.removeprefix("label ") in labels, text
    # The module is a file of its own: inside a script it would be a third larger, and not stream.
    assert [path for path in (folder / "out").rglob("*.wasm") if path.stat().st_size > 100_000]
