"""Train the digits network, prune it gradually by groups, and write its weights, accuracies and sample images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from edge_sparse.converters.pruning import GroupPruner
from model import FOLDER, Digits, test_images, train_images
from torch import nn

BATCH = 64


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""how it works:
  1. The dense network is trained on 1437 of scikit-learn's 1797 handwritten digits.
  2. GroupPruner drops groups of weights, few at a time, while training goes on; it follows a cubic schedule
     for half of --pruning-epochs, then the zeros are fixed and the other weights recover.
  3. Both are measured on the 360 digits that were held out.

written: dense.safetensors, pruned.safetensors, digits.json (accuracies), images/0.png to 9.png (held-out samples)

examples:
  python examples/digits/train.py                              # what is shipped: about 90 seconds on one core
  python examples/digits/train.py --sparsity 0.9 -o /tmp/d     # try another sparsity elsewhere
  edge-sparse convert examples/digits/model.py:pruned -o digits.egs""",
    )
    parser.add_argument("--sparsity", type=float, default=0.8, help="share of weights to drop (default %(default)s)")
    parser.add_argument("--group", type=int, help="rows per group (default: 4 for convolutions, 16 for linear layers)")
    parser.add_argument("--dense-epochs", type=int, default=30, help="epochs before pruning (default %(default)s)")
    parser.add_argument("--pruning-epochs", type=int, default=40, help="epochs with pruning (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default %(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="folder to write (default: this one)")
    return parser.parse_args()


@contextmanager
def progress(title: str, steps: int) -> Iterator[Callable[[int, str], None]]:
    """Yield a function that shows the step and a message: a bar if rich is installed, else a line per tenth."""
    try:
        from rich.progress import Progress
    except ImportError:

        def line(step: int, message: str) -> None:
            if step % max(1, steps // 10) == 0:
                print(f"{title} {step}/{steps} {message}", flush=True)

        yield line
        return
    with Progress() as bar:
        task = bar.add_task(title, total=steps)
        yield lambda step, message: bar.update(task, completed=step, description=f"{title} {message}")


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move all images of a batch (N, 1, 16, 16) by up to two pixels, black moving in."""
    x, y = (int(v) for v in torch.randint(0, 5, (2,), generator=generator))
    return nn.functional.pad(images, (2, 2, 2, 2))[:, :, y : y + 16, x : x + 16]


def train(module: nn.Module, epochs: int, rate: float, seed: int, title: str, pruner: GroupPruner | None) -> None:
    """Train in place with a cosine learning rate that begins at ``rate``."""
    images, labels = (torch.from_numpy(array) for array in train_images())
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(module.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    module.train()
    with progress(title, epochs) as show:
        for epoch in range(epochs):
            for batch in torch.randperm(len(labels), generator=generator).split(BATCH):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(module(shifted(images[batch], generator)), labels[batch])
                loss.backward()
                optimizer.step()
                if pruner:
                    pruner.step()
            scheduler.step()
            dropped = f", {_total_sparsity(module):.0%} zero" if pruner else ""
            show(epoch + 1, f"loss {loss.item():.3f}{dropped}")


def _total_sparsity(module: nn.Module) -> float:
    weights = [p for p in module.parameters() if p.ndim > 1]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


@torch.no_grad()
def accuracy(module: nn.Module) -> float:
    """Return the share of held-out digits that are recognised."""
    images, labels = test_images()
    return float((module.eval()(torch.from_numpy(images)).argmax(1).numpy() == labels).mean())


def save(module: nn.Module, path: Path) -> None:
    """Write the state of the network; safetensors holds arrays only, so reading it runs no code."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def write_samples(folder: Path) -> None:
    """Write the first held-out image of every digit."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    images, labels = test_images()
    for digit in range(10):
        pixels = np.rint(images[int(np.argmax(labels == digit)), 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{digit}.png")


def main() -> None:
    """Train, prune, measure, write."""
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    module = Digits()
    train(module, options.dense_epochs, 0.1, options.seed, "dense ", None)
    found = {"dense_accuracy": accuracy(module)}
    save(module, options.output / "dense.safetensors")

    steps = -(-len(train_images()[1]) // BATCH) * options.pruning_epochs
    pruner = GroupPruner(module, options.sparsity, end=steps // 2, frequency=10, group=options.group)
    train(module, options.pruning_epochs, 0.05, options.seed + 1, "pruned", pruner)
    pruner.finish()
    found |= {
        "pruned_accuracy": accuracy(module),
        "held_out_images": len(test_images()[1]),
        "sparsity": options.sparsity,
        "sparsity_by_layer": {name: round(share, 4) for name, share in pruner.sparsity().items()},
        "dense_layers": pruner.dense_layers,
        "weights": sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1),
        "seed": options.seed,
    }
    save(module, options.output / "pruned.safetensors")
    (options.output / "digits.json").write_text(json.dumps(found, indent=2) + "\n")
    write_samples(options.output / "images")
    print(f"dense {found['dense_accuracy']:.2%}, pruned {found['pruned_accuracy']:.2%} of the held-out digits")


if __name__ == "__main__":
    main()
