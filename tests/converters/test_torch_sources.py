"""Torch sources that cannot be read say why, and names of sources lead to them."""

from pathlib import Path

import pytest
from edge_sparse.converters.frontends.load_source import load_source
from edge_sparse.converters.frontends.torch_export import read_torch

from edge_sparse.errors import ConvertError, UnsupportedOperatorError

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from zoo.blocks import Function  # noqa: E402


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def changed_through_dropout(x):
    y = x * 2
    F.dropout(y, training=False).relu_()
    return y + 1


class Unconvertible(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 2)
        self.norm = nn.InstanceNorm2d(4)

    def forward(self, x):
        x = self.norm(self.up(x))
        x = x.sort(1).values
        for _ in range(3):
            x = F.leaky_relu(x)
        return x.permute(0, 2, 3, 1)


def test_unsupported_operators_are_listed_at_once_with_their_places():
    with pytest.raises(UnsupportedOperatorError) as caught:
        read_torch(Unconvertible(), (images(1, 3, 6, 6),))
    message = caught.value.message
    assert caught.value.code == "OPERATOR_UNSUPPORTED"
    for part in (
        "transposed convolution",
        "up (test_torch_sources.py:",
        "aten.sort",
        "aten.leaky_relu.default (3 times)",
        "permutation (0, 2, 3, 1)",
    ):
        assert part in message
    assert len(message.splitlines()) == 6
    assert str(Path(__file__).parent) not in message


def bad_weights():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)).eval()
    module[0].weight.data[0, 0, 0, 0] = float("nan")
    module[2].bias.data[1] = float("inf")
    return module


def exported(module, *inputs, **options):
    return torch.export.export(module, inputs, **options)


BAD_SOURCES = {
    "WEIGHTS_NOT_FINITE": lambda: read_torch(bad_weights(), (images(1, 3, 8, 8),)),
    "EXAMPLE_INPUTS_MISSING": lambda: read_torch(nn.ReLU()),
    "EXAMPLE_INPUTS_TYPE": lambda: read_torch(nn.ReLU(), 3),
    "INPUT_DTYPE": lambda: read_torch(nn.Embedding(4, 4), (torch.zeros(1, 4, dtype=torch.long),)),
    "EXPORT_FAILED": lambda: read_torch(nn.Linear(4, 4), (images(1, 3),)),
    "SOURCE_UNSUPPORTED": lambda: read_torch({"weight": torch.zeros(3)}, (images(1, 3),)),
    "SOURCE_NOT_FOUND": lambda: read_torch("nowhere.pt2"),
    "BATCH_RANGE": lambda: read_torch(nn.ReLU(), (images(1, 3),), batch=0),
    "BATCH_FIXED": lambda: read_torch(exported(nn.ReLU(), images(1, 3)), batch=2),
    "SHAPES_DYNAMIC": lambda: read_torch(
        exported(nn.ReLU(), images(2, 3), dynamic_shapes=({0: torch.export.Dim("rows")},))
    ),
    "MODEL_HAS_STATE": lambda: read_torch(exported(nn.BatchNorm2d(3).train(), images(2, 3, 4, 4))),
    # torch decomposes dropout to a copy, which hides the change from the first name of the tensor.
    "EXPORT_DIFFERS": lambda: read_torch(Function(changed_through_dropout), (images(1, 3),)),
    "OUTPUT_TYPE": lambda: read_torch(Function(lambda x: (x.relu(), 3)), (images(1, 3),)),
}


@pytest.mark.parametrize("code", BAD_SOURCES)
def test_bad_sources_say_what_is_wrong(code):
    with pytest.raises(ConvertError) as caught:
        BAD_SOURCES[code]()
    assert caught.value.code == code
    assert caught.value.hint


def test_all_tensors_that_are_not_finite_are_listed():
    with pytest.raises(ConvertError, match=r"0\.weight, 2\.bias"):
        BAD_SOURCES["WEIGHTS_NOT_FINITE"]()


SOURCE_FILE = """
import torch
from torch import nn
class Net(nn.Module):
    def forward(self, x):
        return x.relu()
def good(): return Net(), (torch.zeros(1, 3),)
def raising(): raise RuntimeError("out of coffee")
def wrong(): return Net()
"""


def test_sources_are_loaded_by_name(tmp_path, monkeypatch):
    (tmp_path / "some_model_source.py").write_text(SOURCE_FILE)
    monkeypatch.chdir(tmp_path)
    for text in ("some_model_source:good", f"{tmp_path}/some_model_source.py:good"):
        module, inputs = load_source(text)
        assert read_torch(module, inputs).graph.outputs == ["output"]


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("another_source:raising", "SOURCE_FUNCTION_FAILED", "out of coffee"),
        ("another_source:wrong", "SOURCE_FUNCTION_RESULT", "Net"),
        ("another_source:missing", "SOURCE_NOT_FOUND", "missing"),
        ("broken_source:good", "SOURCE_IMPORT_FAILED", "ZeroDivisionError"),
        ("no_such_module_here:good", "SOURCE_NOT_FOUND", "no_such_module_here"),
        ("weights.pth", "STATE_DICT_GIVEN", "module:function"),
        ("weights.safetensors", "STATE_DICT_GIVEN", "module:function"),
        ("weights.pt", "STATE_DICT_GIVEN", "module:function"),
        ("absent.pt2", "SOURCE_NOT_FOUND", "absent.pt2"),
        ("damaged.pt2", "SOURCE_UNREADABLE", "damaged.pt2"),
        ("model.onnx", "SOURCE_UNSUPPORTED", "model.onnx"),
    ],
)
def test_bad_names_say_what_is_wrong(tmp_path, monkeypatch, text, code, part):
    (tmp_path / "another_source.py").write_text(SOURCE_FILE)
    (tmp_path / "broken_source.py").write_text("1 / 0\n")
    for name in ("weights.pth", "weights.pt", "weights.safetensors", "damaged.pt2", "model.onnx"):
        (tmp_path / name).write_bytes(b"not a zip file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvertError) as caught:
        load_source(text)
    assert caught.value.code == code
    assert part in str(caught.value)
