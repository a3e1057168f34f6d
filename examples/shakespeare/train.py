"""Train the byte-level Shakespeare model that this example ships, on a CPU.

    python train.py --text tinyshakespeare.txt --minutes 30 -o model

It writes a Hugging Face folder (config.json, model.safetensors in F16) with a `LlamaForCausalLM` of bytes. The last
tenth of the text is held out. Needs torch and safetensors.

Text alone does not teach so small a model, in so short a time, to find an earlier passage again. So after a first part
on text, sequences with copies come, and there one head of each of the last two layers is told where to look: at the
byte that followed an earlier coming of what it reads now.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from copying import Phase, Sequences, looking_loss
from decoder import CONTEXT, Decoder, Shape, save
from torch import Tensor, nn
from torch.nn import functional

HELD_OUT = 0.1
DECAY = 0.35  # the last share of the time, in which the learning rate falls to nearly nothing
PHASES = (
    Phase(0.35, 512, 0.9, copied=0.25),
    Phase(0.46, CONTEXT, 0.6, copied=0.5),
    Phase(0.54, 256, 0.5, noise=0.25, tiled=0.25, copied=0.4, looking=0.3),
    Phase(0.58, 512, 0.45, noise=0.12, tiled=0.2, copied=0.38, looking=0.2),
    Phase(0.62, 1024, 0.5, tiled=0.12, copied=0.45, looking=0.1),
    Phase(1.0, CONTEXT, 0.5, tiled=0.1, copied=0.45, looking=0.1),
)


def losses(model: nn.Module, batch: Tensor) -> Tensor:
    """Return the loss in nats of every predicted byte, [sequences, length]."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch[:, :-1])
    flat = functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
    return flat.view(batch.shape[0], -1)


@dataclass(frozen=True)
class Quality:
    """What is measured on the held-out text, in nats a byte."""

    loss: float  # contexts of up to 2048 bytes, cut one after the other
    new: float  # passages of 128 bytes near the end of a context, after their first 16 bytes
    again_256: float  # the same, when the passage also stands so many bytes earlier
    again_1024: float
    again_1800: float


@torch.no_grad()
def quality(model: nn.Module, text: Tensor, sequences: int = 16) -> Quality:
    """Measure a model on the first so many contexts of held-out text [bytes], and on passages pasted into eight."""
    cut = text[: len(text) // CONTEXT * CONTEXT].view(-1, CONTEXT)[:sequences]
    loss = float(torch.cat([losses(model, part) for part in cut.split(8)]).mean())
    draw = Sequences(text, seed=1)
    contexts = torch.stack([draw.piece(CONTEXT + 1) for _ in range(8)])
    passages = torch.stack([draw.piece(128) for _ in range(8)])
    at = 1900
    contexts[:, at : at + 128] = passages

    def passage_loss(distance: int) -> float:
        pasted = contexts.clone()
        pasted[:, at - distance : at - distance + 128] = passages
        return float(losses(model, pasted)[:, at + 15 : at + 127].mean())

    return Quality(loss, *(passage_loss(distance) for distance in (0, 256, 1024, 1800)))


def optimisers(model: Decoder) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices and AdamW for the table and the norms."""
    matrices = [p for p in model.layers.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, lr=4e-3, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(progress: float, phase: Phase) -> float:
    """Return the share of the full learning rate at a share of the time: warm-up, the phase's, a fall down to 3 %."""
    return min(1.0, progress / 0.01) * phase.rate * min(1.0, max(0.03, (1 - progress) / DECAY))


def main() -> None:
    """Train until the time is over; measure and write the weights twenty times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="the training text")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to train (default 30)")
    parser.add_argument("--step-tokens", type=int, default=4096, help="bytes a step (default 4096)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    text = torch.frombuffer(bytearray(options.text.read_bytes()), dtype=torch.uint8).long()
    split = int(len(text) * (1 - HELD_OUT))
    train_text, held_out = text[:split], text[split:]
    draw = Sequences(train_text, options.seed)

    shape = Shape()
    model = Decoder(shape)
    steppers = optimisers(model)
    full_rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(train_text):,} bytes of training text")

    began = time.monotonic()
    step, progress, measured_at = 0, 0.0, 0.0
    while progress < 1.0:
        progress = min(1.0, (time.monotonic() - began) / (60 * options.minutes))
        phase = next(phase for phase in PHASES if progress <= phase.until)
        batch = draw.batch(phase, options.step_tokens // phase.length)
        loss = losses(model, batch.ids)[batch.counts[:, 1:]].mean()
        looking = looking_loss(model, batch) if phase.looking else torch.zeros(())
        (loss + phase.looking * looking).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper, full in zip(steppers, full_rates, strict=True):
            stepper.param_groups[0]["lr"] = full * rate(progress, phase)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        step += 1
        if step % 20 == 0:
            found = f"loss {loss.item():.4f} looking {looking.item():.2f}"
            print(f"{progress:6.1%} step {step} {found} {time.monotonic() - began:.0f} s", flush=True)
        if progress >= measured_at:
            print(f"{progress:6.1%} step {step} held-out {json.dumps(asdict(quality(model, held_out)))}", flush=True)
            save(model, shape, options.output)
            measured_at = min(1.0, progress + 0.05)


if __name__ == "__main__":
    main()
