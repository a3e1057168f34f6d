"""Training with the pruner: sparsity follows the schedule, dropped weights stay zero, and the converter finds them."""

import copy
import itertools
import subprocess
import sys

import numpy as np
import pytest
from edge_sparse.converters.graph import Graph, Node, Value
from edge_sparse.converters.pruning import GroupPruner, LayerOverride, detect_patterns
from edge_sparse.converters.pruning.groups import as_matrices
from edge_sparse.converters.pruning.schedule import CubicSchedule

from edge_sparse.errors import PruningError
from edge_sparse.format.packing import pack_dense

torch = pytest.importorskip("torch")


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
        torch.nn.Conv2d(8, 32, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 24, 3, padding=1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 48),
    )


PRUNED = {"3": 4, "5": 4, "8": 16}


def train(module, pruner, steps, after_step=lambda: None, optimizer=None):
    parameters = module.parameters()
    optimizer = optimizer or torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=0.01, nesterov=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        images = torch.randn(4, 1, 6, 6, generator=generator)
        labels = torch.randint(0, 48, (4,), generator=generator)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
        pruner.step()
        after_step()
    return optimizer


def zeros(module):
    return {name: (module.get_submodule(name).weight == 0).float().mean().item() for name in PRUNED}


def test_schedule_is_equation_one():
    schedule = CubicSchedule(10, 110, 10)
    for step in range(130):
        progress = min(max((step - 10) / 100, 0), 1)
        assert schedule.share(step) == pytest.approx(1 + (0 - 1) * (1 - progress) ** 3)
        assert schedule.is_due(step) == (step in range(10, 111, 10))
    assert [step for step in range(1, 9) if CubicSchedule(0, 0).is_due(step)] == [1]
    assert [step for step in range(1, 9) if CubicSchedule(2, 7, 3).is_due(step)] == [2, 5, 7]


def test_sparsity_grows_along_the_schedule_and_never_falls():
    module = network()
    pruner = GroupPruner(module, sparsity=0.75, begin=2, end=12, frequency=2)
    history = []
    train(module, pruner, 15, lambda: history.append((pruner.sparsity(), zeros(module))))
    for step, (reported, found) in enumerate(history, 1):
        changed = step if step in range(2, 13, 2) else max([s for s in range(0, 13, 2) if s <= step])
        expected = 0.75 * (1 - (1 - min(max(changed - 2, 0) / 10, 1)) ** 3)
        for name in PRUNED:
            assert reported[name] == pytest.approx(found[name])
            assert found[name] == pytest.approx(expected, abs=0.07)
    for earlier, later in itertools.pairwise(history):
        assert all(later[1][name] >= earlier[1][name] for name in PRUNED)
    assert set(pruner.dense_layers) == {"0", "2"}


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    ],
)
def test_dropped_weights_stay_exactly_zero(make):
    module = network()
    pruner = GroupPruner(module, sparsity=0.6, end=0)
    masks = []

    def check():
        masks.append([(module.get_submodule(name).weight == 0).numpy() for name in PRUNED])

    train(module, pruner, 8, check, make(module.parameters()))
    for later in masks[1:]:
        for first, now in zip(masks[0], later, strict=True):
            assert now[first].all()
    weights = torch.cat([module.get_submodule(name).weight.detach().flatten() for name in PRUNED])
    assert not torch.signbit(weights[weights == 0]).any()


def test_training_without_the_pruner_would_fill_the_zeros():
    module = network()
    pruner = GroupPruner(module, sparsity=0.6, end=0)
    optimizer = train(module, pruner, 1)
    before = zeros(module)
    optimizer.step()
    assert all(zeros(module)[name] < before[name] for name in PRUNED)


def as_graph(module):
    """A graph that holds the module's weights; only their zeros matter."""
    graph = Graph()
    for name, child in module.named_modules():
        if isinstance(child, (torch.nn.Conv2d, torch.nn.Linear)):
            data = child.weight.detach().numpy()
            graph.values[f"{name}.weight"] = Value(f"{name}.weight", data.shape, data=data)
            attributes = {"groups": getattr(child, "groups", 1)}
            op = "conv" if data.ndim == 4 else "linear"
            graph.nodes.append(Node(op, name, ["x", f"{name}.weight"], [f"{name}.out"], attributes))
    return graph


@pytest.mark.parametrize("pattern", ["tap", "kernel"])
@pytest.mark.parametrize("group", [None, 1, 2, 8])
def test_converter_finds_the_groups(group, pattern):
    module = network()
    pruner = GroupPruner(module, sparsity=0.7, end=4, frequency=1, group=group, convolution_pattern=pattern)
    train(module, pruner, 6)
    assert pruner.finish() is module
    found = detect_patterns(as_graph(module))
    for name, default in PRUNED.items():
        weight = module.get_submodule(name).weight.detach().numpy()
        matrix = np.ascontiguousarray(as_matrices(weight)[0])
        size = group or default
        assert found[name].sparse
        assert found[name].group >= size
        assert found[name].density == pytest.approx(0.3, abs=0.06)
        assert pack_dense(name, matrix, size).density == pytest.approx((matrix != 0).mean())
        if pattern == "kernel" and weight.ndim == 4:
            taps = (weight != 0).reshape(*weight.shape[:2], -1)
            np.testing.assert_array_equal(taps.all(axis=2), taps.any(axis=2))


def test_global_scope_keeps_more_where_weights_are_large():
    module = network()
    with torch.no_grad():
        module[3].weight[:4] *= 100
    pruner = GroupPruner(module, sparsity=0.5, end=0, scope="global")
    pruner.step()
    sparsity = pruner.sparsity()
    sizes = {name: module.get_submodule(name).weight.numel() for name in PRUNED}
    total = sum(sparsity[name] * sizes[name] for name in PRUNED) / sum(sizes.values())
    assert total == pytest.approx(0.5, abs=0.01)
    assert sparsity["3"] > 0.8


def test_a_resumed_training_equals_an_uninterrupted_one():
    whole = network()
    pruner = GroupPruner(whole, sparsity=0.8, end=9, frequency=2)
    optimizer = train(whole, pruner, 5)
    resumed = copy.deepcopy(whole)
    second = torch.optim.SGD(resumed.parameters(), 0.05, momentum=0.9, weight_decay=0.01, nesterov=True)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    state = copy.deepcopy(pruner.state_dict())
    with torch.no_grad():
        resumed[3].weight += (whole[3].weight == 0).float()
    continued = GroupPruner(resumed, sparsity=0.8, end=9, frequency=2)
    continued.load_state_dict(state)
    train(whole, pruner, 6, optimizer=optimizer)
    train(resumed, continued, 6, optimizer=second)
    assert continued.steps == pruner.steps == 11
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_checkpoint_survives_weights_only_loading(tmp_path):
    module = network()
    pruner = GroupPruner(module, sparsity=0.5, end=0)
    pruner.step()
    torch.save(pruner.state_dict(), tmp_path / "pruner.pt")
    other = GroupPruner(network(1), sparsity=0.5, end=0)
    other.load_state_dict(torch.load(tmp_path / "pruner.pt", weights_only=True))
    assert other.sparsity() == pruner.sparsity()


def test_data_parallel_is_looked_through():
    module = torch.nn.DataParallel(network())
    pruner = GroupPruner(module, sparsity=0.5, end=0)
    train(module, pruner, 2)
    assert set(pruner.sparsity()) == set(PRUNED)
    assert pruner.finish() is module.module


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_masks_follow_the_module_to_another_device(device):
    module = network()
    pruner = GroupPruner(module, sparsity=0.5, end=2, frequency=1)
    pruner.step()
    module.to(device)
    for _ in range(3):
        pruner.step()
    assert all(share == pytest.approx(0.5, abs=0.05) for share in zeros(module).values())


def test_half_precision_weights_are_pruned():
    module = network().bfloat16()
    GroupPruner(module, sparsity=0.5, end=0).step()
    assert all(share == pytest.approx(0.5, abs=0.05) for share in zeros(module).values())


def test_shared_weights_are_pruned_once():
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(32, 32), "b": torch.nn.Linear(32, 32)})
    module["b"].weight = module["a"].weight
    pruner = GroupPruner(module, sparsity=0.5, end=0)
    pruner.step()
    assert set(pruner.sparsity()) == {"a"}


def test_early_finish_warns_and_step_after_finish_is_refused():
    module = network()
    pruner = GroupPruner(module, sparsity=0.5, end=10)
    pruner.step()
    with pytest.warns(UserWarning, match="step 1 of 10"):
        pruner.finish()
    with pytest.raises(PruningError, match="PRUNER_FINISHED"):
        pruner.step()


def test_overrides_choose_layers_and_settings():
    overrides = {"0": LayerOverride(0.5, 1), "5": LayerOverride(0.0), "8": LayerOverride(0.25)}
    pruner = GroupPruner(network(), sparsity=0.5, end=0, overrides=overrides)
    pruner.step()
    assert set(pruner.sparsity()) == {"0", "3", "8"}
    assert pruner.sparsity()["8"] == pytest.approx(0.25, abs=0.02)
    assert "override" in pruner.dense_layers["5"]


def reparametrised():
    module = network()
    torch.nn.utils.parametrizations.weight_norm(module[3])
    return module


def lazy():
    return torch.nn.Sequential(torch.nn.LazyLinear(4))


def diverged():
    module = network()
    with torch.no_grad():
        module[3].weight[0] = torch.nan
    return module


@pytest.mark.parametrize(
    ("module", "options", "code"),
    [
        (network, {"sparsity": 1.0}, "SPARSITY_RANGE"),
        (network, {"sparsity": -0.5}, "SPARSITY_RANGE"),
        (network, {"group": 3}, "GROUP_UNKNOWN"),
        (network, {"begin": 5, "end": 4}, "SCHEDULE_RANGE"),
        (network, {"begin": -1}, "SCHEDULE_RANGE"),
        (network, {"frequency": 0}, "SCHEDULE_FREQUENCY"),
        (network, {"overrides": {"head*": LayerOverride(0.1)}}, "OVERRIDE_UNMATCHED"),
        (network, {"sparsity": 0.0}, "NOTHING_TO_PRUNE"),
        (torch.nn.ReLU, {}, "NOTHING_TO_PRUNE"),
        (lambda: network()[:3], {}, "stem: 1 input channels; 2: depthwise"),
        (reparametrised, {}, "WEIGHT_REPARAMETRISED"),
        (lazy, {}, "WEIGHT_UNINITIALISED"),
    ],
)
def test_errors(module, options, code):
    with pytest.raises(PruningError, match=code):
        GroupPruner(module(), **{"end": 10, **options})


def test_a_diverged_training_is_reported():
    with pytest.raises(PruningError, match=r"WEIGHTS_NOT_FINITE.*layer 3"):
        GroupPruner(diverged(), end=0).step()


def test_a_layer_never_loses_all_its_weights():
    module = network()
    with torch.no_grad():
        module[3].weight.fill_(1.0)
        module[3].weight[0] = 1000.0
        module[8].weight.mul_(1e-9)
        module[8].weight[0, 0] = 1e-3
    pruner = GroupPruner(module, sparsity=0.99, end=0, scope="global")
    with pytest.raises(PruningError, match="LAYER_EMPTY"):
        pruner.step()


@pytest.mark.parametrize("state", [{}, {"steps": 3}, {"steps": 3, "dropped": {"3": torch.zeros(2, 2).bool()}}])
def test_foreign_checkpoints_are_refused(state):
    with pytest.raises(PruningError, match="CHECKPOINT_MISMATCH"):
        GroupPruner(network(), end=0).load_state_dict(state)


def test_importing_the_pruner_does_not_import_torch():
    code = "import sys; from edge_sparse.converters.pruning import GroupPruner; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("end", "changes"), [(0, 1), (30, 20), (250, 20), (10_000, 100)])
def test_the_default_frequency_is_gradual(end, changes):
    schedule = GroupPruner(network(), end=end).schedule
    assert sum(schedule.is_due(step) for step in range(end + 1)) >= changes
