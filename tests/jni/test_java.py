"""The Java library against Python: the same numbers, labels, texts and error codes, on this machine and on ARM."""

import json

import numpy as np
import pytest
from jvm import ROOT

import edge_sparse as es

IMAGES = ROOT / "examples" / "digits" / "images"
INVALID = ROOT / "tests" / "vectors" / "invalid"


def _like(expected, found):
    return np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_numbers_are_those_of_python(jvm, digits, tmp_path, threads):
    path, images = digits
    session = es.load(path, backend="reference")
    for number, image in enumerate(images):
        x, y = tmp_path / f"x{number}", tmp_path / f"y{number}"
        image[None].astype("<f4").tofile(x)
        jvm.main("NetworkCheck", "run", path, x, y, threads)
        assert _like(session(image[None]).reshape(-1), np.fromfile(y, "<f4"))


def test_the_library_knows_its_processor(jvm, digits, tmp_path):
    path, images = digits
    images[:1].astype("<f4").tofile(tmp_path / "x")
    (line,) = jvm.main("NetworkCheck", "run", path, tmp_path / "x", tmp_path / "y", 1)
    assert line.startswith(es.__version__)
    assert line.endswith("NEON") == jvm.arm  # the model of a Cortex-A72 has no dot product


def _argb(path):
    from PIL import Image

    r, g, b = np.asarray(Image.open(path).convert("RGB")).astype(np.uint32).transpose(2, 0, 1)
    return (np.uint32(0xFF000000) | r << np.uint32(16) | g << np.uint32(8) | b).astype("<u4")


@pytest.mark.parametrize("digit", [3, 7])
def test_labels_are_those_of_python(jvm, digits, tmp_path, digit):
    path, _ = digits
    picture = IMAGES / f"{digit}.png"
    argb = _argb(picture)
    argb.tofile(tmp_path / "argb")
    lines = jvm.main("NetworkCheck", "classify", path, tmp_path / "argb", argb.shape[1], argb.shape[0])
    expected = es.load(path, backend="reference").classify(picture, top=3)
    assert [line.split("\t")[0] for line in lines] == [name for name, _ in expected]
    np.testing.assert_allclose([float(line.split("\t")[1]) for line in lines], [p for _, p in expected], rtol=1e-4)


def test_ports_and_labels(jvm, digits):
    session = es.load(digits[0], backend="reference")
    lines = jvm.main("NetworkCheck", "ports", digits[0])
    ports = [("input", port) for port in session.inputs] + [("output", port) for port in session.outputs]
    for line, (side, port) in zip(lines, ports, strict=False):
        assert line.startswith(f"{side} {port.name} F32 [")
    assert lines[-1] == f"[{', '.join(session.model.labels)}]"


def test_broken_files_have_the_codes_of_the_format(jvm, tmp_path):
    files = sorted(INVALID.glob("*.egs"))
    lines = jvm.main("NetworkCheck", "errors", *files, tmp_path / "nothing.egs", tmp_path)
    assert lines[: len(files)] == [path.name.split(".")[0] for path in files]
    assert lines[len(files) :] == ["FILE_NOT_FOUND", "FILE_UNREADABLE"]


@pytest.mark.parametrize("attention", ["exact", "delta"])
def test_text_is_that_of_python(jvm, shakespeare, attention):
    prompt, count = "ROMEO:", 60 if jvm.arm else 200
    mode = {"attention": "delta", "theta": 0.5, "window": 0.05, "sinks": 4} if attention == "delta" else {}
    tokens, skipped, greedy, seeded = jvm.main("TextCheck", shakespeare, attention, prompt, count, 0.5)
    with es.llm.load(shakespeare, cache="f32", context=512, **mode) as model:
        options = {"temperature": 0.8, "top_p": 0.95, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "seed": 7}
        assert json.loads(tokens) == model.codec.encode(prompt)
        assert greedy == model.generate(prompt, max_tokens=count, temperature=0).text.replace("\n", "\\n")
        assert (float(skipped) > 0) == (attention == "delta")
        assert seeded == model.generate(prompt, max_tokens=count, **options).text.replace("\n", "\\n")


def test_closing_cancelling_and_misuse(jvm, digits, shakespeare):
    assert jvm.main("LifetimeCheck", digits[0], shakespeare, 5 if jvm.arm else 60) == ["all checks passed"]
