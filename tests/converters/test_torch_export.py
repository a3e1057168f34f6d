"""Torch models, converted and run, compute what torch computes."""

import os
from pathlib import Path

import numpy as np
import pytest
from edge_sparse.converters.frontends.torch_export import read_torch
from edge_sparse.converters.lower import lower
from edge_sparse.converters.passes import optimise

from edge_sparse.errors import ConvertError
from edge_sparse.session import Session

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from zoo import efficientnet, mobilenet, resnet, shufflenet, squeezenet  # noqa: E402
from zoo.blocks import Function, SqueezeExcite, randomise  # noqa: E402


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check(module, *inputs, backend="reference", tolerance=1e-4, batch=None):
    """Compare torch with the source's own run and with converted plans in both layouts; returns the source."""
    source = read_torch(module, inputs, batch=batch)
    graph = optimise(source.graph)
    arrays = {name: value.numpy() for name, value in zip(graph.inputs, inputs, strict=True)}
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(module(*inputs))
    runs = [source.run(arrays)]
    for layout in ("chw", "nhwc"):
        session = Session.from_model(lower(graph, {}, layout=layout), backend=backend)
        runs.append(session.run(arrays))
    for results in runs:
        assert list(results) == source.graph.outputs
        for (name, result), wanted in zip(results.items(), expected, strict=True):
            assert result.shape == tuple(wanted.shape), name
            scale = float(wanted.abs().max())
            assert scale > 1e-3, name
            np.testing.assert_allclose(result, wanted.numpy(), rtol=0, atol=tolerance * scale, err_msg=name)
    return source


NETWORKS = {
    "mobilenet_v1": (mobilenet.mobilenet_v1, 1),
    "mobilenet_v2": (mobilenet.mobilenet_v2, 2),
    "mobilenet_v3_small": (mobilenet.mobilenet_v3_small, 2),
    "mobilenet_v3_large": (mobilenet.mobilenet_v3_large, 1),
    "resnet18": (resnet.resnet18, 2),
    "resnet50": (resnet.resnet50, 1),
    "squeezenet": (squeezenet.squeezenet, 1),
    "efficientnet_b0": (efficientnet.efficientnet_b0, 1),
    "shufflenet_v2": (shufflenet.shufflenet_v2, 1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_torch(name):
    make, batch = NETWORKS[name]
    check(make(classes=100), images(batch, 3, 64, 64), backend="numba")


def test_cifar_resnet20_with_trained_weights_equals_torch():
    folder = os.environ.get("EDGE_SPARSE_DATA")
    if not folder:
        pytest.skip("EDGE_SPARSE_DATA is not set")
    path = Path(folder) / "vision" / "cifar_resnet" / "resnet20-12fca82f.th"
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    module = resnet.cifar_resnet20()
    module.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    x = images(20, 3, 32, 32)
    # Logits reach 15: every one is within 1e-4.
    source = check(module.eval(), x, backend="numba", tolerance=5e-6)
    graph = optimise(source.graph)
    assert {node.op for node in graph.nodes} <= {"conv", "subsample", "pad_channels", "avg_pool", "reshape", "linear"}


IMAGE = (2, 8, 9, 11)
CONV = {"in_channels": 8, "out_channels": 12, "kernel_size": 3}
MODULES = {
    "conv": nn.Conv2d(**CONV, stride=2, padding=(2, 1)),
    "conv without bias, dilated": nn.Conv2d(**CONV, dilation=2, bias=False),
    "conv same, even kernel": nn.Conv2d(8, 5, (2, 4), padding="same"),
    "conv valid": nn.Conv2d(**CONV, padding="valid"),
    "grouped conv": nn.Conv2d(**CONV, groups=4, padding=1),
    "depthwise conv with multiplier": nn.Conv2d(8, 16, 3, groups=8),
    "lone batch norm": nn.BatchNorm2d(8),
    "batch norm without weights": nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, affine=False), nn.ReLU6()),
    "batch norm before conv": nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(**CONV, padding=1)),
    "linear on the last axis": nn.Linear(11, 6),
    "batch norm after linear": nn.Sequential(nn.Flatten(), nn.Linear(792, 6), nn.BatchNorm1d(6), nn.ReLU()),
    "lone batch norm of rows": nn.Sequential(nn.Flatten(), nn.ReLU(), nn.BatchNorm1d(792)),
    "max pool, ceil": nn.MaxPool2d(3, 2, ceil_mode=True),
    "max pool, padded and dilated": nn.MaxPool2d((3, 2), (2, 1), padding=1, dilation=(2, 1)),
    "avg pool, ceil": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "avg pool, pad not counted": nn.AvgPool2d(3, 2, padding=1, count_include_pad=False, ceil_mode=True),
    "avg pool, divisor": nn.AvgPool2d(2, divisor_override=3),
    "adaptive pool": nn.AdaptiveAvgPool2d((4, 3)),
    "adaptive pool, one side kept": nn.AdaptiveAvgPool2d((None, 2)),
    "adaptive max pool": nn.AdaptiveMaxPool2d((3, 1)),
    "squeeze and excite": SqueezeExcite(8, 4, nn.SiLU),
    "channel shuffle": nn.ChannelShuffle(4),
    "no operations": nn.Sequential(nn.Dropout(0.3), nn.Identity(), nn.Dropout2d(0.2)),
    **{
        f"activation {kind.__name__}": kind()
        for kind in (
            nn.ReLU,
            nn.ReLU6,
            nn.Hardtanh,
            nn.Hardswish,
            nn.Sigmoid,
            nn.Hardsigmoid,
            nn.SiLU,
            nn.Tanh,
            nn.GELU,
        )
    },
}


class Apart(nn.Module):
    """Applies modules and functions to one input, each on its own: one export instead of many."""

    def __init__(self, parts):
        super().__init__()
        self.names = list(parts)
        wrapped = (part if isinstance(part, nn.Module) else Function(part) for part in parts.values())
        self.parts = nn.ModuleList(wrapped)

    def forward(self, x):
        return {name: part(x) for name, part in zip(self.names, self.parts, strict=True)}


def test_modules_equal_torch():
    check(randomise(Apart(MODULES)), images(*IMAGE))


FUNCTIONS = {
    "clamp": lambda x: x.clamp(-0.3, 0.8),
    "clamp from below": lambda x: x.clamp(min=0.25),
    "clamp from above": lambda x: x.clamp(max=0.25),
    "arithmetic": lambda x: 1.5 - (x / 4 + 2) * 3 - x * x + (-x) ** 2,
    "constant per channel": lambda x: x * torch.linspace(0, 1, 8).view(1, 8, 1, 1) + torch.ones(8, 1, 1),
    "constant per pixel": lambda x: x + torch.linspace(0, 1, 99).view(9, 11),
    "normalised input": lambda x: (
        (x - torch.linspace(0, 1, 8).view(1, 8, 1, 1)) / torch.linspace(1, 2, 8).view(8, 1, 1)
    ),
    "reciprocal of a constant": lambda x: x / torch.linspace(1, 2, 8).view(8, 1, 1),
    "sum with factor": lambda x: torch.add(x, x.relu(), alpha=-2),
    "tanh": torch.tanh,
    "difference": lambda x: torch.sigmoid(x) - x.tanh(),
    "expand": lambda x: x * x.mean((2, 3), keepdim=True).expand_as(x),
    "mean": lambda x: x.mean((-1, -2)),
    "mean of means": lambda x: x.mean(3).mean(2),
    "softmax": lambda x: x.mean((2, 3)).softmax(1),
    "concat": lambda x: torch.cat([x, x.relu(), x[:, 2:5]], 1),
    "concat of rows": lambda x: torch.cat([x.flatten(1), x.mean((2, 3))], 1),
    "every second pixel": lambda x: x[:, :, ::2, ::3],
    "channels": lambda x: torch.cat([x[:, 1::2], x[:, :3].relu()], 1),
    "split": lambda x: torch.cat(x.split([1, 5, 2], 1)[::-1], 1) + torch.cat(x.chunk(2, 1)[::-1], 1),
    "padding of all axes": lambda x: F.pad(x, (1, 2, 0, 3, 2, 1)),
    "padding with a value": lambda x: F.pad(x, (1, 0, 1, 0), value=1.5),
    "padded max pool": lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 2, 2),
    "reshape": lambda x: x.view(2, 4, 2, 9, 11).reshape(4, 4, 9, 11),
    "squeeze": lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1).unsqueeze(1),
    "permute of ones": lambda x: x.mean((2, 3), keepdim=True).permute(0, 2, 3, 1).relu(),
    "product": lambda x: x.mean((2, 3)) @ torch.linspace(-1, 1, 24).view(8, 3),
    "in place": lambda x: (x * 2).relu_().add_(1).mul_(x),
    "hardswish by hand": lambda x: x * F.relu6(x + 3) / 6,
}


def test_functions_equal_torch():
    source = check(Apart(FUNCTIONS).eval(), images(*IMAGE))
    assert source.graph.outputs == list(FUNCTIONS)


def changed_view(x):
    y = x * 2
    view = y.flatten(1)
    y.relu_()
    return view + 0.5


def changed_after_reading(x):
    y = x * 2
    before = y + 1
    y.relu_()
    return before + y


@pytest.mark.parametrize("function", [changed_view, changed_after_reading])
def test_in_place_operators_reach_all_names_of_a_tensor(function):
    check(Function(function), images(*IMAGE))


def test_modules_without_operations_are_copies():
    check(nn.Sequential(nn.Dropout(0.3), nn.Identity()).eval(), images(*IMAGE))


def test_core_aten_programs_equal_torch(tmp_path):
    excite = SqueezeExcite(24, 8, gate=nn.Hardsigmoid)
    block = mobilenet.InvertedResidual(16, 24, 16, 3, 1, nn.Hardswish, excite)
    head = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 32), nn.SiLU(), nn.Linear(32, 5, bias=False))
    module = randomise(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU6(), block, nn.MaxPool2d(2), head))
    x = images(1, 3, 16, 16)
    program = torch.export.export(module, (x,)).run_decompositions()
    torch.export.save(program, tmp_path / "model.pt2")
    source = read_torch(tmp_path / "model.pt2")
    graph = optimise(source.graph)
    operations = {node.op for node in graph.nodes}
    assert operations == {"avg_pool", "conv", "linear", "max_pool", "mean", "mul", "reshape"}
    session = Session.from_model(lower(graph, {}), backend="numba")
    np.testing.assert_allclose(session(x.numpy()), module(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    weights = [graph.values[node.inputs[1]] for node in graph.nodes if node.op in ("conv", "linear")]
    assert all(source.program.parameters[weight.origin].shape == weight.shape for weight in weights)


def test_several_inputs_and_outputs_keep_their_names():
    module = Function(lambda left, right: {"sum": left + right, "left": left, "again": left + 0, "pair": right.relu()})
    source = check(module, images(1, 2, 4, 4), images(1, 2, 4, 4, seed=1))
    assert len(source.graph.inputs) == 2
    assert source.graph.outputs == ["sum", "left", "again", "pair"]


def test_nested_outputs_are_numbered():
    source = check(Function(lambda x: (x.relu(), [x.tanh(), x.relu()])), images(1, 2, 4, 4))
    assert source.graph.outputs == ["output_0", "output_1", "output_2"]


def test_an_output_may_be_a_constant():
    check(Function(lambda x: (x.relu(), torch.ones(2, 3))), images(1, 2, 4, 4))


def test_batch_is_fixed_at_conversion():
    module = resnet.cifar_resnet20()
    source = read_torch(module, (images(1, 3, 16, 16),), batch=3)
    assert source.graph.values[source.graph.inputs[0]].shape == (3, 3, 16, 16)
    x = images(3, 3, 16, 16)
    np.testing.assert_allclose(source.run({source.graph.inputs[0]: x.numpy()})["output"], module(x).detach(), atol=1e-4)


def test_intermediate_values_by_name_and_origin_survive_optimisation():
    module = resnet.cifar_resnet20()
    x = images(1, 3, 16, 16)
    source = read_torch(module, (x,))
    graph = optimise(source.graph)
    parameters = dict(module.named_parameters())
    for node in graph.nodes:
        if node.op in ("conv", "linear"):
            weight = graph.values[node.inputs[1]]
            assert parameters[weight.origin].shape == weight.shape
    block = next(node for node in graph.nodes if node.name == "layer1.0.conv2")
    assert "resnet.py:" in block.source
    seen = {}
    module.layer1[0].register_forward_hook(lambda module, inputs, output: seen.update(output=output.detach().numpy()))
    module(x)
    values = source.values({"x": x.numpy()}, block.outputs)
    np.testing.assert_allclose(values[block.outputs[0]], seen["output"], atol=1e-5)


def test_masked_source_computes_with_masked_weights():
    module = resnet.cifar_resnet20()
    x = images(1, 3, 16, 16)
    source = read_torch(module, (x,))
    mask = np.random.default_rng(0).random(module.conv1.weight.shape) < 0.5
    masked = source.masked({"conv1.weight": mask})
    before = source.run({"x": x.numpy()})["output"]
    with torch.no_grad():
        module.conv1.weight *= torch.from_numpy(mask)
        expected = module(x).numpy()
    np.testing.assert_allclose(masked.run({"x": x.numpy()})["output"], expected, atol=1e-5)
    assert np.array_equal(masked.graph.values["conv1.weight"].data != 0, mask)
    assert not np.allclose(before, expected)
    np.testing.assert_array_equal(source.run({"x": x.numpy()})["output"], before)
    with pytest.raises(ConvertError, match="MASK_MISMATCH"):
        source.masked({"conv1.weight": mask[:1]})


@pytest.mark.parametrize("exported", [False, True])
def test_pruned_modules_give_their_zeros(exported):
    from torch.nn.utils import prune

    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    prune.ln_structured(module[0], "weight", 0.5, n=2, dim=0)
    x = images(1, 3, 8, 8)
    given = torch.export.export(module, (x,)) if exported else module
    source = read_torch(given, None if exported else (x,))
    graph = optimise(source.graph)
    weight = graph.values[graph.nodes[0].inputs[1]]
    assert np.array_equal(weight.data != 0, module[0].weight_mask.numpy() != 0)
    masked = source.masked({weight.origin: weight.data != 0})
    np.testing.assert_array_equal(*(s.run({s.graph.inputs[0]: x.numpy()})["output"] for s in (source, masked)))
    assert hasattr(module[0], "weight_orig")


def test_the_module_stays_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).double().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    source = read_torch(nn.DataParallel(module), (images(1, 3, 8, 8),))
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert source.warnings
    assert source.graph.values["0.weight"].data.dtype == np.float32


def test_half_precision_modules_become_float32():
    module = nn.Conv2d(3, 4, 3).half()
    source = read_torch(module, (images(1, 3, 8, 8).half(),))
    assert "float16" in source.warnings[0]
    x = images(1, 3, 8, 8)
    expected = module.float()(x).detach().numpy()
    np.testing.assert_allclose(source.run({source.graph.inputs[0]: x.numpy()})["output"], expected, atol=1e-6)
