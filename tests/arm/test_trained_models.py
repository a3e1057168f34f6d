"""Networks that others trained run in C as in Python: CIFAR ResNet-20 on photographs, stories260K's text."""

import json

import numpy as np
import pytest
from replay_cases import error
from test_replay import ARM, HOST, PROCESSORS, processors

import edge_sparse as es
from edge_sparse import Session
from edge_sparse.format.reader import read_model

#: Photographs per machine, all that there are on this one; plain C takes 30 times as long as vectors.
PHOTOS = {HOST: 500, ARM: 12}
PHOTOS_IN_PLAIN_C = {HOST: 20, ARM: 2}


@pytest.fixture(scope="module")
def resnet20(cifar_resnet20, tmp_path_factory):
    """Return ResNet-20 at 30 % sparsity as a file, its photographs as inputs, and Python's scores."""
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    net, photos = cifar_resnet20
    path = tmp_path_factory.mktemp("resnet20") / "resnet20.egs"
    es.convert(net, (torch.zeros(1, 3, 32, 32),), path, sparsity=0.3)
    pixels = np.stack([np.asarray(image.open(photo).convert("RGB"), np.float32) for photo in photos]) / 255
    pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    inputs = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)[:, None]
    with Session.from_model(read_model(path), backend="numba") as session:
        return path, inputs, np.stack([np.asarray(session(x)).reshape(-1) for x in inputs])


@processors
def test_photographs_get_the_scores_of_python(processor, resnet20, programs, tmp_path):
    path, inputs, expected = resnet20
    target, cpu, variants, threads = PROCESSORS[processor]
    count = (PHOTOS_IN_PLAIN_C if variants == 1 else PHOTOS)[target]
    model = read_model(path)
    name, output = (model.plans[0].tensors[ports[0]].name for ports in (model.plans[0].inputs, model.plans[0].outputs))
    runs = [{name: x} for x in inputs[:count]]
    results, _ = programs(target, cpu).replay(model, path, runs, tmp_path, "", variants, threads)
    found = np.stack([result[output].reshape(-1) for result in results])
    assert len(found) == min(count, len(inputs))
    assert error(found, expected[:count]) < 1e-5
    np.testing.assert_array_equal(found.argmax(axis=1), expected[:count].argmax(axis=1))


@pytest.mark.parametrize("cpu", ["", "cortex-a53", "cortex-a72", "cortex-a76"])
def test_stories_are_those_of_python(cpu, data, programs, tmp_path):
    from edge_sparse.cli import main

    path, source = tmp_path / "stories.egs", data / "llm" / "stories260K"
    arguments = ["convert", str(source / "stories260K.bin"), "-o", str(path), "--tokenizer", str(source / "tok512.bin")]
    assert main(arguments) == 0
    machine = programs(ARM if cpu else HOST, cpu)
    greedy = json.loads((data / "reference.json").read_text())["stories260K_greedy_from_BOS_200_tokens"]
    words = ["generate", path, "-p", "", "-n", "200", "--cache", "f32", "--temperature", "0", "--json"]
    done = machine.program(*words, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == greedy
    options = {"temperature": 0.8, "top_p": 0.95, "seed": 42}
    expected = es.llm.load(path, backend="numba").generate("Lily and Tom", max_tokens=100, **options).text
    words = ["generate", path, "-p", "Lily and Tom", "-n", "100", "--top-p", "0.95", "--seed", "42", "--json"]
    done = machine.program(*words, "--temperature", "0.8", text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == expected
