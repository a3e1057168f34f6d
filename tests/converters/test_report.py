"""The report holds the numbers of the conversion, as a page that needs nothing else and as JSON."""

import base64
import dataclasses
import html.parser
import json
import re
import struct
import sys
import zlib

import numpy as np
import pytest
from edge_sparse.converters.convert import convert
from edge_sparse.converters.layer_table import LayerRow
from edge_sparse.converters.report import ConversionReport, LayerReport, OtherSteps, report_html, report_json
from edge_sparse.converters.report import text as report_text
from edge_sparse.converters.report.mask_picture import mask_png, shrink
from edge_sparse.converters.report.page import bars, duration, size
from edge_sparse.converters.report.timing import break_even_by_speed
from graph_builder import GraphBuilder
from graph_source import GraphSource

from edge_sparse.errors import MissingExtraError

HOSTILE = '<script>alert("1")</script>'
VOID = {"meta", "img", "br", "rect", "link", "input"}


def network():
    b = GraphBuilder(1, 3, 12, 12)
    x = b.conv("x", 16, 3, stride=2, activation="relu")
    y = b.conv(b.depthwise(x), 16, residual=x, activation="relu")
    return b.finish(b.linear(b.mean(y), 24))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    graph = network()
    graph.nodes[2].name = HOSTILE
    graph.nodes[2].source = f"{HOSTILE} (net.py:7)"
    folder = tmp_path_factory.mktemp("report")
    return convert(GraphSource(graph), output=folder / "m.egs", sparsity=0.5, rearrange=True, report=folder / "r.html")


@pytest.fixture(scope="module")
def page(result):
    return result.reports[0].read_text("utf-8")


@pytest.fixture(scope="module")
def values(result):
    return json.loads(result.reports[1].read_text("utf-8"))


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and gathers tags with their attributes and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_well_formed_and_loads_nothing(page):
    parsed = Page(page)
    tags = [tag for tag, _ in parsed.tags]
    assert not {"script", "link", "iframe"} & set(tags)
    for _, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "data:image/png").startswith("data:image/png")
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


def test_names_of_layers_cannot_break_the_page(page, values):
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;") >= 2
    assert HOSTILE in [layer["name"] for layer in values["layers"]]


def test_the_page_can_be_read_without_seeing_it(page):
    parsed = Page(page)
    tags = [tag for tag, _ in parsed.tags]
    assert tags.count("table") == tags.count("caption") == 2
    assert dict(parsed.tags)["html"]["lang"] == "en"
    assert all("scope" in attributes for tag, attributes in parsed.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in parsed.tags if tag == "img")
    named = {attributes.get("id") for _, attributes in parsed.tags}
    wanted = {attributes["aria-labelledby"] for _, attributes in parsed.tags if "aria-labelledby" in attributes}
    assert wanted <= named
    assert len([1 for tag, attributes in parsed.tags if "id" in attributes]) == len(named - {None})


def test_the_page_shows_the_numbers_of_the_result(result, page, values):
    text = " ".join(Page(page).text)
    for row in result.layers:
        assert row.reason in text
    assert size(result.bytes) in text
    assert f"{result.density:.1%}" in text
    assert duration(values["seconds"]) in text


def test_json_holds_what_the_conversion_found(result, values):
    assert values["bytes"] == result.bytes == result.path.stat().st_size
    assert values["dense_bytes"] == result.dense_bytes
    assert values["options"] == {"sparsity": 0.5, "rearrange": True}
    for layer, row in zip(values["layers"], result.layers, strict=True):
        for field in dataclasses.fields(row):
            found = layer[field.name]
            expected = getattr(row, field.name)
            assert found == (list(expected) if isinstance(expected, tuple) else expected)
        assert layer["seconds_median"] >= layer["seconds_min"] > 0
        assert layer["dense_seconds"] > 0
        assert layer["relative_error"] == result.verification.layer_errors[row.name] < 1e-5
        assert bool(layer["mask"]) == row.sparse
    layers = sum(layer["seconds_min"] for layer in values["layers"])
    assert values["seconds"] == pytest.approx(layers + values["other"]["seconds_min"])
    assert values["verification"]["conversion"]["samples"] == 8
    assert {"edge_sparse", "numpy"} <= set(values["versions"])


def test_layers_as_stored_are_measured_when_weights_are_rounded(tmp_path):
    result = convert(GraphSource(network()), dtype="s8", report=tmp_path / "r.html")
    values = json.loads((tmp_path / "r.json").read_text())
    assert values["seconds"] is None
    assert all(1e-4 < layer["relative_error"] < 0.1 for layer in values["layers"] if layer["operator"] != "depthwise")
    assert "Nothing was timed" in (tmp_path / "r.html").read_text()
    assert max(result.verification.layer_errors.values()) < 1e-5


def test_numbers_that_json_lacks_are_null(values):
    assert report_text._plain({"a": [float("inf"), 1.0], "b": (float("nan"),)}) == {"a": [None, 1.0], "b": [None]}


def decode(png):
    """Return the pixels (height, width, 4) of a PNG as ``mask_png`` writes it, checking every checksum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 6)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 4 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 4)


def test_a_small_mask_is_pictured_exactly():
    kept = np.random.default_rng(0).random((20, 30)) < 0.3
    assert np.array_equal(decode(mask_png(kept))[..., 3], np.where(kept, 255, 0))


def test_pictures_open_elsewhere():
    image = pytest.importorskip("PIL.Image")
    import io

    kept = np.random.default_rng(0).random((200, 31)) < 0.3
    picture = image.open(io.BytesIO(mask_png(kept)))
    picture.load()
    assert (picture.size, picture.mode) == ((31, 64), "RGBA")


@pytest.mark.parametrize("shape", [(64, 160), (65, 161), (1, 1000), (300, 400), (1000, 3)])
def test_a_large_mask_shows_the_kept_share_of_areas(shape):
    kept = np.random.default_rng(0).random(shape) < 0.4
    found = shrink(kept, 64, 160)
    edges = [
        [i * n // m for i in range(m)] + [n] if n > m else list(range(n + 1))
        for n, m in zip(shape, (64, 160), strict=True)
    ]
    assert found.shape == (len(edges[0]) - 1, len(edges[1]) - 1)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            area = kept[edges[0][i] : edges[0][i + 1], edges[1][j] : edges[1][j + 1]]
            assert found[i, j] == pytest.approx(area.mean())


def test_pictures_in_the_page_are_those_of_the_weights(result, values):
    from edge_sparse.format.packing import dense

    layer = next(layer for layer in values["layers"] if layer["name"] == HOSTILE)
    picture = decode(base64.b64decode(layer["mask"].partition(",")[2]))
    matrix = next(dense(m) for m in result.model.matrices if m.name == HOSTILE)
    assert np.array_equal(picture[..., 3] > 0, matrix != 0)


@pytest.mark.parametrize(
    ("density", "sparse", "full", "dense", "expected"),
    [
        (0.2, 0.2, 1.0, 1.0, 1.0),
        (0.2, 0.4, 2.0, 1.0, 0.5),
        (0.5, 1.0, 2.0, 0.1, 0.05),
        (0.5, 1.0, 1.5, 0.4, 0.0),
        (0.5, 0.5, 0.6, 9.0, 1.0),
        (0.5, 1.0, 1.0, 1.0, None),
        (1.0, 1.0, 1.0, 1.0, None),
    ],
)
def test_break_even_by_speed_lies_on_a_line(density, sparse, full, dense, expected):
    assert break_even_by_speed(density, sparse, full, dense) == (None if expected is None else pytest.approx(expected))


def test_bars_are_shares_of_the_longest_time():
    layers = [
        LayerReport(row(name), t, t, dense, None, None, "") for name, t, dense in (("a", 1.0, 4.0), ("b", 2.0, 2.0))
    ]
    report = ConversionReport(
        "m",
        1,
        1,
        1.0,
        tuple(layers),
        OtherSteps(3, 0.5, 0.5, 1.0),
        3.5,
        7.0,
        None,
        (),
        {},
        "",
        "",
        {"edge_sparse": ""},
        (),
    )
    assert [(bar.label, bar.converted, bar.dense) for bar in bars(report)] == [
        ("a", 0.25, 1.0),
        ("b", 0.5, 0.5),
        ("all other steps", 0.125, 0.25),
    ]
    untimed = dataclasses.replace(layers[0], seconds_min=None, seconds_median=None, dense_seconds=None)
    report = dataclasses.replace(report, layers=(untimed,), other=None, seconds=None, dense_seconds=None)
    assert not bars(report)
    Page(report_html(report))
    assert json.loads(report_json(report))["layers"][0]["name"] == "a"


def row(name):
    return LayerRow(name, "", "conv1x1", (8, 8, 1, 1), (1, 8, 4, 4), "dense", 1.0, 256, 256, False, "no zeros", 0.9)


def test_numbers_are_shown_with_units():
    assert duration(0.0021) == "2.10 ms"
    assert duration(0.0000021) == "2.1 µs"
    assert duration(None) == "–"
    assert [size(n) for n in (999, 1000, 2_340_000, 5e9)] == ["999 bytes", "1 KB", "2.34 MB", "5 GB"]


def test_without_jinja2_the_extra_is_named_and_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"(?s)EXTRA_MISSING.*edge_sparse\[report\]"):
        convert(GraphSource(network()), output=tmp_path / "m.egs", report=tmp_path / "r.html")
    assert not list(tmp_path.iterdir())
