"""From a torch model to a file that runs, and every way in which that can fail."""

import os
import signal
import textwrap

import numpy as np
import pytest

import edge_sparse

torch = pytest.importorskip("torch", reason="needs torch: edge_sparse[torch]")

NETWORK = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
            self.body = nn.Conv2d(16, 32, 1)
            self.head = nn.Linear(32, 4)

        def forward(self, x):
            x = torch.relu(self.body(torch.relu(self.stem(x))))
            return self.head(x.mean((2, 3)))

    def make():
        torch.manual_seed(0)
        print("a word from the model's own code")
        return Net().eval(), (torch.randn(1, 3, 16, 16),)

    def slow():
        import time
        print("waiting", flush=True)
        time.sleep(60)

    def broken():
        raise RuntimeError("no weights here")

    def nothing():
        return 7
"""


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(textwrap.dedent(NETWORK))
    return path


def reference(network, x):
    space = {"__name__": "net"}
    exec(compile(network.read_text(), network, "exec"), space)
    module, _ = space["make"]()
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def test_a_function_in_a_file(cli, network, tmp_path, x):
    output = tmp_path / "net.egs"
    outcome = cli("convert", f"{network}:make", "-o", output)
    assert outcome.code == 0, outcome.err
    assert str(output) in outcome.out
    np.testing.assert_allclose(edge_sparse.load(output)(x), reference(network, x), rtol=1e-4, atol=1e-5)
    assert cli("validate", output).code == 0


def test_an_exported_program(cli, network, tmp_path, x):
    space = {"__name__": "net"}
    exec(compile(network.read_text(), network, "exec"), space)
    module, inputs = space["make"]()
    torch.export.save(torch.export.export(module, inputs), tmp_path / "net.pt2")
    output = tmp_path / "net.egs"
    outcome = cli("convert", tmp_path / "net.pt2", "-o", output)
    assert outcome.code == 0, outcome.err
    np.testing.assert_allclose(edge_sparse.load(output)(x), reference(network, x), rtol=1e-4, atol=1e-5)


def test_pruning_options_reach_the_file(cli, network, tmp_path):
    output, labels = tmp_path / "net.egs", tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nbird\nfish\n")
    words = ["--sparsity", 0.75, "--group", "gs8x1", "--override", "head=dense", "--batch", 2]
    words += ["--labels", labels, "--image", "16x16,resize=18,mean=0.5,std=0.25", "--json"]
    outcome = cli("convert", f"{network}:make", "-o", output, *words)
    assert outcome.code == 0, outcome.err
    assert outcome.json["bytes"] == output.stat().st_size
    summary = edge_sparse.inspect(output)
    by_step = {matrix.step: matrix for matrix in summary.matrices}
    body = next(matrix for name, matrix in by_step.items() if (matrix.rows, matrix.columns) == (32, 16))
    assert body.pattern == "gs8x1"
    assert body.density == pytest.approx(0.25)
    assert next(matrix for matrix in by_step.values() if matrix.rows == 4).density == 1
    assert summary.labels == ("cat", "dog", "bird", "fish")
    assert (summary.image.height, summary.image.resize, summary.image.mean) == (16, 18, (0.5, 0.5, 0.5))
    assert summary.plans[0].inputs[0].shape == (2, 3, 16, 16)


def test_a_dry_run_writes_nothing(cli, network, tmp_path):
    before = sorted(os.listdir(tmp_path))
    outcome = cli("convert", f"{network}:make", "-o", tmp_path / "net.egs", "--sparsity", 0.5, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert [name for name in sorted(os.listdir(tmp_path)) if name != "__pycache__"] == before
    assert "nothing written" in outcome.out


def test_a_report(cli, network, tmp_path):
    pytest.importorskip("jinja2", reason="needs jinja2: edge_sparse[report]")
    page = tmp_path / "report.html"
    outcome = cli("convert", f"{network}:make", "-o", tmp_path / "net.egs", "--sparsity", 0.5, "--report", page)
    assert outcome.code == 0, outcome.err
    assert "<html" in page.read_text()


def test_sources_that_are_none(failure, network, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    (tmp_path / "garbage.pt2").write_bytes(b"garbage")
    output = tmp_path / "net.egs"
    for source, code in [
        (tmp_path / "weights.pth", "STATE_DICT_GIVEN"),
        (tmp_path / "garbage.pt2", "SOURCE_UNREADABLE"),
        (tmp_path / "missing.pt2", "SOURCE_NOT_FOUND"),
        (tmp_path, "CONFIG_MISSING"),
        (f"{network}:missing", "SOURCE_NOT_FOUND"),
        (f"{network}:broken", "SOURCE_FUNCTION_FAILED"),
        (f"{network}:nothing", "SOURCE_FUNCTION_RESULT"),
        ("no.such.module:make", "SOURCE_NOT_FOUND"),
    ]:
        assert failure("convert", source, "-o", output) == (code, 5)
        assert not output.exists()


def test_options_that_make_no_sense(failure, network, tmp_path):
    output = tmp_path / "net.egs"
    for words, result in [
        (["--sparsity", "1.5"], ("SPARSITY_RANGE", 5)),
        (["--sparsity", "0.5", "--group", "gs3x1"], ("GROUP_UNKNOWN", 5)),
        (["--sparsity", "0.5", "--override", "body"], ("USAGE", 3)),
        (["--image", "big"], ("USAGE", 3)),
        (["--layout", "nchw"], ("USAGE", 3)),
        (["--labels", tmp_path / "missing.txt"], ("LABELS_UNREADABLE", 5)),
    ]:
        assert failure("convert", f"{network}:make", "-o", output, *words) == result
        assert not output.exists()


def test_existing_files_are_kept_without_force(failure, cli, network, tmp_path):
    output = tmp_path / "net.egs"
    output.write_bytes(b"precious")
    assert failure("convert", f"{network}:make", "-o", output) == ("OUTPUT_EXISTS", 6)
    assert failure("convert", f"{network}:make", "-o", tmp_path / "no" / "net.egs") == ("OUTPUT_FOLDER_MISSING", 6)
    assert failure("convert", f"{network}:make", "-o", tmp_path) == ("OUTPUT_NOT_WRITABLE", 6)
    assert output.read_bytes() == b"precious"
    assert cli("convert", f"{network}:make", "-o", output, "--force").code == 0
    assert cli("validate", output).code == 0


def test_the_top_class_may_not_change_more_than_allowed(failure, network, tmp_path, x):
    inputs = np.random.default_rng(0).standard_normal((64, *x.shape[1:])).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=inputs)
    words = ["--sparsity", "0.95", "--verify-inputs", tmp_path / "x.npz", "--max-drop", "0"]
    assert failure("convert", f"{network}:make", "-o", tmp_path / "net.egs", *words) == ("MAX_DROP", 7)
    assert not (tmp_path / "net.egs").exists()


def test_interrupts_leave_nothing(process, network, tmp_path):
    before = os.listdir(tmp_path)
    with process("convert", f"{network}:slow", "-o", tmp_path / "net.egs") as running:
        assert [running.stderr.readline(), running.stderr.readline()][1] == "waiting\n"
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert [name for name in os.listdir(tmp_path) if name != "__pycache__"] == before
