"""Torch modules through ``convert``: masks of training are kept, new ones verified against the masked module."""

import os
from pathlib import Path

import numpy as np
import pytest
from edge_sparse.converters import verify

import edge_sparse as es
from edge_sparse.errors import ConvertError, VerificationError

torch = pytest.importorskip("torch")
nn = torch.nn

from torch.nn.utils import prune  # noqa: E402
from zoo import mobilenet, resnet  # noqa: E402
from zoo.blocks import randomise  # noqa: E402


class Net(nn.Module):
    """Batch norms, a depthwise convolution, a shortcut and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.wide = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.Hardswish())
        self.depth = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.narrow = nn.Sequential(nn.Conv2d(32, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.narrow(self.depth(self.wide(x))))
        return self.head(x.mean((2, 3)))


def module():
    return randomise(Net())


EXAMPLE = (torch.zeros(1, 3, 24, 24),)


def test_a_pruned_module_becomes_a_file_that_computes_the_masked_module(tmp_path):
    net = module().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = es.convert(net, EXAMPLE, tmp_path / "m.egs", sparsity=0.5, group="gs4x1")
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert {row.name for row in result.layers if row.sparse} == {"wide.0", "narrow.0"}
    assert next(row.reason for row in result.layers if row.name == "head").startswith(
        "left dense, too few zeros to pay"
    )
    assert all("test_convert_torch.py:" in row.source for row in result.layers)
    assert result.verification.conversion.relative_error < 1e-5
    assert result.verification.pruning.relative_error > 1e-3
    assert len(result.verification.layer_errors) >= 6
    assert es.load(tmp_path / "m.egs").model.metadata["versions"]["torch"] == torch.__version__


def test_masks_of_torch_are_found():
    net = module().eval()
    for layer in (net.wide[0], net.narrow[0]):
        rows = torch.from_numpy(
            np.random.default_rng(0).random((layer.out_channels // 8, layer.in_channels, 1, 1)) < 0.4
        )
        prune.custom_from_mask(layer, "weight", rows.repeat_interleave(8, dim=0))
    result = es.convert(net, EXAMPLE)
    patterns = {row.name: row.pattern for row in result.layers}
    assert patterns["wide.0"] == patterns["narrow.0"] == "gs8x1"
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(result.session()(x.numpy()), expected, atol=1e-4 * np.abs(expected).max())


class TwoByTwo(nn.Module):
    """Two inputs of different rank and two outputs, one of them a map."""

    def __init__(self):
        super().__init__()
        self.image, self.vector = nn.Conv2d(3, 32, 3, padding=1), nn.Linear(12, 32)
        self.mix, self.head = nn.Conv2d(32, 16, 1), nn.Linear(32, 5)

    def forward(self, image, vector):
        map = torch.relu(self.image(image))
        return {"map": self.mix(map), "classes": self.head(map.mean((2, 3)) + torch.relu(self.vector(vector)))}


def test_several_inputs_and_outputs(tmp_path):
    example = (torch.zeros(2, 3, 8, 8), torch.zeros(2, 12))
    given = (torch.ones(4, 3, 8, 8), torch.ones(4, 12))
    net = TwoByTwo()
    result = es.convert(net, example, tmp_path / "m.egs", sparsity=0.5, verify_inputs=given, report=tmp_path / "r.html")
    assert result.verification.conversion.samples == 8 + 4
    session = result.session()
    outputs = session(*[tensor[:2].numpy() for tensor in given])
    assert sorted(array.shape for array in outputs) == [(2, 5), (2, 16, 8, 8)]


def test_tensors_are_taken_as_verification_inputs():
    images = torch.randn(6, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    result = es.convert(module(), EXAMPLE, sparsity=0.5, rearrange=False, batch=2, verify_inputs=images)
    assert result.verification.given_inputs
    assert result.verification.pruning.samples == 6
    assert result.session().inputs[0].shape == (2, 3, 24, 24)


def test_a_wrong_batch_norm_is_traced_to_its_layer(monkeypatch):
    """A pass that computes something else is caught, not only a lowering that does."""
    from edge_sparse.converters import passes

    def wrong(graph):
        node = next(node for node in graph.nodes if node.name == "narrow.0")
        if len(node.inputs) > 2 and not node.attributes.get("touched"):
            node.attributes["touched"] = True
            graph.values[node.inputs[2]].data = graph.constant(node.inputs[2]) + np.float32(0.5)
        return False

    monkeypatch.setattr(passes, "PASSES", (*passes.PASSES, wrong))
    with pytest.raises(VerificationError, match=r"(?s)first wrong layer is conv narrow\.0.*test_convert_torch\.py"):
        es.convert(module(), EXAMPLE)


def test_weights_that_are_not_finite_are_named(tmp_path):
    net = module()
    net.narrow[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ConvertError, match=r"WEIGHTS_NOT_FINITE.*narrow\.0\.weight"):
        es.convert(net, EXAMPLE, tmp_path / "m.egs")
    assert not list(tmp_path.iterdir())


def test_a_whole_network_is_verified_in_every_layer(monkeypatch):
    monkeypatch.setattr(verify, "verification_backend", lambda dtype: "reference")
    net = mobilenet.mobilenet_v3_small(classes=10)
    result = es.convert(net, (torch.zeros(1, 3, 32, 32),), sparsity=0.7, group=8, rearrange=False)
    assert sum(row.sparse for row in result.layers) > 30
    assert len(result.verification.layer_errors) > 60
    assert result.bytes < 0.45 * result.dense_bytes


@pytest.fixture(scope="module")
def trained():
    """CIFAR ResNet-20 and 64 test images, normalised as it was trained."""
    folder = os.environ.get("EDGE_SPARSE_DATA")
    if not folder:
        pytest.skip("EDGE_SPARSE_DATA is not set")
    image = pytest.importorskip("PIL.Image")
    weights = Path(folder) / "vision" / "cifar_resnet" / "resnet20-12fca82f.th"
    state = torch.load(weights, weights_only=True, map_location="cpu")["state_dict"]
    net = resnet.cifar_resnet20()
    net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    photos = sorted((Path(folder) / "eval_only_no_licence" / "cifar10_test_jpg").rglob("*.jpg"))[::8][:64]
    pixels = np.stack([np.asarray(image.open(path).convert("RGB"), np.float32) for path in photos]) / 255
    pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return net, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)


def test_a_trained_network_keeps_most_answers(trained):
    net, images = trained
    example = (torch.zeros(1, 3, 32, 32),)
    result = es.convert(net, example, sparsity=0.3, rearrange=True, verify_inputs=images, max_drop=0.3)
    assert result.verification.conversion.relative_error < 1e-5
    assert np.mean([gain.after - gain.before for gain in result.gains]) > 0
    with pytest.raises(VerificationError, match="MAX_DROP"):
        es.convert(net, example, sparsity=0.9, verify_inputs=images, max_drop=0.3)
