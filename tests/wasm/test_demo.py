"""The demo page in Chromium, driven like a person does; screenshots are kept for people to look at."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEVEN = [[(0.25, 0.15), (0.7, 0.15), (0.42, 0.88)], [(0.36, 0.5), (0.66, 0.5)]]
ONE = [[(0.5, 0.1), (0.5, 0.9)]]
ZERO = [
    [(0.5, 0.1), (0.3, 0.25), (0.25, 0.5), (0.3, 0.75), (0.5, 0.9), (0.7, 0.75), (0.75, 0.5), (0.7, 0.25), (0.5, 0.1)]
]
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
PAGE_LIBRARIES = ["ES2023", "ESNext.Disposable", "DOM", "DOM.Iterable", "DOM.AsyncIterable"]
#: Words of the writer when a text is complete.
DONE = re.compile(r"tokens in .*the length was reached")


@pytest.fixture(scope="session")
def built(needed):
    """Return the folder of the page."""
    web = ROOT / "build" / "web"
    return needed((web / "index.html").is_file() and web, "build/web", "make web")


@pytest.fixture
def opened(site, built, new_page):
    """Return a function that opens the page, in a folder of the server, and waits for its first result."""
    from playwright.sync_api import expect

    site.folders["/some/folder"] = built

    def of(**options):
        page = new_page(**options)
        page.goto("/some/folder/")
        expect(page.locator("#digit")).to_have_text("3", timeout=20_000)
        return page

    return of


@pytest.fixture
def expect():
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    return expect


def draw(page, strokes):
    page.locator("#clear").click()
    page.locator("#board").scroll_into_view_if_needed()
    box = page.locator("#board").bounding_box()

    def go(point):
        page.mouse.move(box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"], steps=6)

    for stroke in strokes:
        go(stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            go(point)
        page.mouse.up()


def choose(page, name, value):
    page.locator(f'input[name="{name}"][value="{value}"]').check()


def test_digits_are_recognised_by_both_networks(opened, expect, artefacts):
    page = opened()
    for network in ("sparse", "dense"):
        choose(page, "digits-model", network)
        for strokes, label in ((ONE, "1"), (SEVEN, "7"), (ZERO, "0")):
            draw(page, strokes)
            expect(page.locator("#digit")).to_have_text(label)
            expect(page.locator("#classes .first > :first-child")).to_have_text(label)
    expect(page.locator("#race-words")).to_contain_text("sparse is")
    expect(page.locator("#race-dense")).to_contain_text(re.compile(r"\d+ µs|\d ms"))
    page.screenshot(path=artefacts / "demo-digits.png")


def test_a_digit_is_drawn_with_the_keyboard(opened, expect):
    page = opened()
    page.locator("#board").focus()
    page.keyboard.press("Space")
    expect(page.locator("#pen")).to_have_text("pen down")
    for _ in range(15):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator("#digit")).to_have_text("1")
    page.keyboard.press("Delete")
    expect(page.locator("#digit")).to_have_text("–")


def test_shakespeare_writes_with_exact_and_delta_attention(opened, expect, artefacts):
    page = opened()
    page.locator("#length").select_option("50")
    for place, attention in enumerate(("exact", "delta")):
        choose(page, "attention", attention)
        page.locator("#write-button").click()
        expect(page.locator("#runs tbody tr")).to_have_count(place + 1)
        expect(page.locator("#count")).to_have_text("50")
        expect(page.locator("#writer-words")).to_have_text(DONE)
        assert len(page.locator("#text").inner_text()) > len("ROMEO:\n") + 20
    # Only a text longer than the exact block has keys to skip.
    page.locator("#length").select_option("1000")
    page.locator("#theta").fill("1.5")
    page.locator("#write-button").click()
    expect(page.locator("#runs tbody tr")).to_have_count(3)
    expect(page.locator("#count")).to_have_text("1000")
    expect(page.locator("#writer-words")).to_have_text(DONE)
    rows = page.locator("#runs tbody tr").all_inner_texts()
    assert [re.findall("exact|delta, θ [0-9.]+", row) for row in rows] == [
        ["delta, θ 1.50"],
        ["delta, θ 0.60"],
        ["exact"],
    ]
    assert float(page.locator("#skipped").inner_text().removesuffix(" %")) > 5
    page.locator("#write").screenshot(path=artefacts / "demo-write.png")


def test_a_text_is_stopped_and_other_weights_write(opened, expect):
    page = opened()
    page.locator("#length").select_option("1800")
    page.locator("#write-button").click()
    page.locator("#stop-button").click()
    expect(page.locator("#writer-words")).to_contain_text("stopped")
    expect(page.locator("#write-button")).to_be_enabled()
    page.locator("#length").select_option("50")
    page.locator("#writer-model").select_option("shakespeare-s8-30")
    expect(page.locator("#quality")).to_contain_text("without training again")
    page.locator("#write-button").click()
    expect(page.locator("#writer-words")).to_have_text(DONE)


def test_a_stop_before_the_text_begins_counts(opened):
    finish = opened().evaluate(
        """async () => {
          const [{ openShipped }, { writeText }] = await Promise.all([import("./models.js"), import("./text_run.js")]);
          const session = await openShipped("shakespeare-s8");
          const place = document.createElement("p");
          const { finish } = await writeText(session, "A", { maxTokens: 400 }, place, AbortSignal.abort());
          session.dispose();
          return finish;
        }"""
    )
    assert finish == "cancelled"


def test_own_image_model_classifies_a_photo(opened, expect, digits, artefacts):
    page = opened()
    page.locator("#model-file").set_input_files(digits[0])
    expect(page.locator("#own-words")).to_contain_text("is open")
    page.locator("#photo-file").set_input_files(ROOT / "examples" / "digits" / "images" / "7.png")
    expect(page.locator("#top .first > :first-child")).to_have_text("7")
    expect(page.locator("#top li")).to_have_count(5)
    expect(page.locator("#own-latency")).to_contain_text("ms")
    page.locator("#own").screenshot(path=artefacts / "demo-own.png")
    page.locator("#photo-file").set_input_files(ROOT / "README.md")
    expect(page.locator("#own-problem")).to_contain_text("PICTURE_UNREADABLE")


def test_own_language_model_writes(opened, expect, built):
    page = opened()
    page.locator("#model-file").set_input_files(built / "models" / "shakespeare-s4.egs")
    page.locator("#own-prompt").fill("JULIET:\n")
    page.locator("#own-text .main").click()
    expect(page.locator("#own-words")).to_contain_text("tokens a second")
    assert len(page.locator("#own-output").inner_text()) > 100


def test_files_that_are_no_models_are_refused_in_words(opened, expect):
    page = opened()
    invalid = sorted((ROOT / "tests" / "vectors" / "invalid").glob("*.egs"))
    for path in (*invalid[:3], ROOT / "README.md"):
        page.locator("#model-file").set_input_files(path)
        code = "FILE_MAGIC" if path.suffix == ".md" else path.name.split(".")[0]
        expect(page.locator("#own-problem")).to_contain_text(code)
        expect(page.locator("#own-problem")).to_contain_text("Next step")
    expect(page.locator("#own-model")).to_be_hidden()


@pytest.mark.parametrize("grant", [True, False])
def test_camera(opened, expect, digits, grant):
    page = opened()
    page.locator("#model-file").set_input_files(digits[0])
    # Headless browsers have no camera: a canvas stands for one, and a refusal is one of the browser's errors.
    page.evaluate(
        """(grant) => {
          navigator.mediaDevices.getUserMedia = async () => {
            if (!grant) throw new DOMException("no", "NotAllowedError");
            const canvas = document.createElement("canvas");
            canvas.getContext("2d").fillRect(0, 0, 9, 9);
            return canvas.captureStream(30);
          };
        }""",
        grant,
    )
    page.locator("#camera-button").click()
    if not grant:
        expect(page.locator("#own-problem")).to_contain_text("the camera was not allowed")
        return
    expect(page.locator("#top li")).to_have_count(5)
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.locator("#camera")).to_be_hidden()
    expect(page.locator("#own-problem")).to_be_hidden()


def test_layers_are_shown_as_chart_and_table(opened, expect, artefacts):
    page = opened()
    page.locator("#measure").click()
    expect(page.locator("#chart svg rect").first).to_be_visible()
    page.locator("#layers-details summary").click()
    rows = page.locator("#layers-table tbody tr")
    assert rows.count() == page.locator("#chart svg rect").count() > 10
    texts = rows.all_inner_texts()
    assert any("20 %" in text for text in texts)
    assert all(re.search(r"\d µs|\d ms", text) for text in texts)
    page.locator("#layers").screenshot(path=artefacts / "demo-layers.png")


def test_page_works_without_a_network_after_one_visit(opened, expect, site):
    page = opened()
    expect(page.locator("#offline")).to_have_text("works")
    expect(page.locator("#writer-words")).to_have_text("ready")
    page.context.set_offline(True)
    # Whatever still gets through finds nothing.
    site.folders.clear()
    page.reload()
    expect(page.locator("#digit")).to_have_text("3")
    draw(page, SEVEN)
    expect(page.locator("#digit")).to_have_text("7")
    page.locator("#length").select_option("50")
    page.locator("#write-button").click()
    expect(page.locator("#writer-words")).to_have_text(DONE)


def test_an_update_is_offered_and_taken(opened, expect, site, built, tmp_path):
    page = opened()
    expect(page.locator("#offline")).to_have_text("works")
    page.reload()
    newer = tmp_path / "newer"
    shutil.copytree(built, newer)
    index = newer / "index.html"
    index.write_text(index.read_text().replace("<h1>", "<h1>Newer: "))
    script = newer / "precache.js"
    script.write_text(re.sub(r'"version": "\w+"', '"version": "newer"', script.read_text()))
    site.folders["/some/folder"] = newer
    page.reload()
    expect(page.locator("h1")).not_to_contain_text("Newer")
    page.locator("#update").click()
    expect(page.locator("h1")).to_contain_text("Newer")
    expect(page.locator("#digit")).to_have_text("3")
    names = page.evaluate("async () => (await caches.keys()).filter((name) => name.startsWith('edge-sparse-page'))")
    assert len(names) == 1
    assert names[0].endswith(" newer")


def test_kept_models_are_counted_and_forgotten(opened, expect):
    page = opened()
    expect(page.locator("#writer-words")).to_have_text("ready")
    expect(page.locator("#kept")).to_contain_text("3, ")
    page.locator("#forget").click()
    expect(page.locator("#kept")).to_have_text("none")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "screen", [PHONE, {"viewport": {"width": 820, "height": 1180}}, {"viewport": {"width": 1440, "height": 900}}]
)
def test_page_fits_every_screen(opened, expect, artefacts, screen, scheme):
    page = opened(**screen, color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("#writer-words")).to_have_text("ready")
    page.locator("#write-button").click()
    expect(page.locator("#writer-words")).to_have_text(DONE)
    page.locator("#measure").click()
    expect(page.locator("#chart svg")).to_be_visible()
    width = screen["viewport"]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=artefacts / f"demo-{width}-{scheme}.png", full_page=True)


def test_texts_have_contrast_and_controls_have_names(opened):
    page = opened()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.evaluate(
            """() => Object.fromEntries(["paper", "raised", "ink", "soft", "accent", "on-accent", "warn", "warn-paper"]
              .map((name) => [name, getComputedStyle(document.body).getPropertyValue("--" + name).trim()]))"""
        )
        pairs = [(text, ground) for text in ("ink", "soft", "accent") for ground in ("paper", "raised")]
        for text, ground in (*pairs, ("on-accent", "accent"), ("warn", "warn-paper"), ("ink", "warn-paper")):
            assert contrast(colours[text], colours[ground]) >= 4.5, (scheme, text, ground)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, select, textarea, input")]
          .filter((e) => !e.textContent.trim() && !e.labels?.length && !e.ariaLabel).map((e) => e.outerHTML)"""
    )
    assert nameless == []


def contrast(first, second):
    """Return the ratio that WCAG 2 defines."""

    def luminance(colour):
        values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("scripts", "libraries"),
    [(["*.js"], PAGE_LIBRARIES), (["sw.js"], ["ES2023", "WebWorker"])],
)
def test_scripts_fit_the_types_of_the_package(package, node, needed, tmp_path, scripts, libraries):
    compiler = ROOT / "wasm" / "js" / "node_modules" / "typescript" / "bin" / "tsc"
    needed(compiler.is_file(), "typescript", "npm ci in wasm/js")
    shutil.copytree(ROOT / "wasm" / "demo", tmp_path, dirs_exist_ok=True)
    shutil.copytree(package, tmp_path / "edge-sparse")
    options = {
        "allowJs": True,
        "checkJs": True,
        "noEmit": True,
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "target": "ES2022",
        "module": "ES2022",
        "moduleResolution": "bundler",
        "lib": libraries,
        "types": [],
    }
    left_out = ["edge-sparse/*.js"] + (["sw.js"] if "sw.js" not in scripts else [])
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "include": scripts, "exclude": left_out})
    )
    done = subprocess.run([node, compiler, "-p", tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
