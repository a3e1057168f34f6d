"""Every run ends with the list of skipped tests; EDGE_SPARSE_REQUIRE_ALL=1 makes a skip a failure."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Processes that tests start must find the installed package, not the sources in the folder they start in.
os.environ["PYTHONSAFEPATH"] = "1"


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"skipped tests: {len(skipped)}")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("EDGE_SPARSE_REQUIRE_ALL") == "1" and exitstatus == 0 and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def needed():
    """Return a function that skips the test unless something was found, and says how to get it."""

    def of(found, name, how):
        if not found:
            pytest.skip(f"{name} is not installed: {how}")
        return found

    return of


@pytest.fixture(scope="session")
def zig(needed):
    needed(importlib.util.find_spec("ziglang"), "zig", "pip install ziglang")


@pytest.fixture(scope="session")
def qemu(needed):
    return needed(shutil.which("qemu-aarch64"), "qemu-aarch64", "apt-get install qemu-user")


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory):
    # Compiling everything takes two minutes; a folder that stays takes the seconds of what changed.
    kept = os.environ.get("EDGE_SPARSE_TEST_BUILDS")
    return Path(kept) if kept else tmp_path_factory.mktemp("native-build")


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Return the shipped pruned digits network as a file, and three of its pictures."""
    import edge_sparse as es

    sys.path.insert(0, str(ROOT / "examples" / "digits"))
    try:
        from model import IMAGE, LABELS, pruned, test_images

        module, inputs = pruned()
        path = tmp_path_factory.mktemp("digits") / "digits.egs"
        es.convert(module, inputs, path, labels=LABELS, image=IMAGE)
        return path, test_images()[0][:3]
    finally:
        sys.path.remove(str(ROOT / "examples" / "digits"))
        sys.modules.pop("model", None)


@pytest.fixture(scope="session")
def shakespeare(tmp_path_factory):
    """Return a function that converts the shipped language model and returns the file."""
    from edge_sparse.converters.decoder.convert import convert_decoder

    folder = tmp_path_factory.mktemp("shakespeare")

    def of(dtype) -> Path:
        path = folder / f"{dtype}.egs"
        if not path.exists():
            convert_decoder(ROOT / "examples" / "shakespeare" / "model", path, dtype=dtype, perplexity=False)
        return path

    return of


@pytest.fixture(scope="session")
def data():
    """Return the folder of weights and photographs that others made."""
    folder = os.environ.get("EDGE_SPARSE_DATA")
    if not folder:
        pytest.skip("EDGE_SPARSE_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def cifar_resnet20(data):
    """Return ResNet-20 for CIFAR-10 with its trained weights, and the paths of its photographs."""
    torch = pytest.importorskip("torch")
    from zoo import resnet

    weights = data / "vision" / "cifar_resnet" / "resnet20-12fca82f.th"
    state = torch.load(weights, weights_only=True, map_location="cpu")["state_dict"]
    net = resnet.cifar_resnet20()
    net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return net.eval(), sorted((data / "eval_only_no_licence" / "cifar10_test_jpg").rglob("*.jpg"))
