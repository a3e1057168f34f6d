"""Train the byte-level Shakespeare model that this example ships, on a CPU.

    python train.py --text tinyshakespeare.txt --minutes 35 -o model

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
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

CONTEXT = 2048
HELD_OUT = 0.1
COPIED = range(48, 257)  # lengths in bytes of a passage that comes twice
RETRIEVING = ((2, 0), (3, 0))  # (layer, head) of the heads that are told where to look
DECAY = 0.35  # the last share of the time, in which the learning rate falls to nearly nothing


@dataclass(frozen=True)
class Phase:
    """What a part of the training shows; the shares that are left show plain text."""

    until: float  # share of the time at which it ends
    length: int  # of a sequence, in bytes
    rate: float  # share of the full learning rate
    noise: float = 0.0  # share of sequences that repeat random bytes
    tiled: float = 0.0  # share of sequences that repeat a piece of text until they are full
    copied: float = 0.0  # share of sequences with passages that come twice
    looking: float = 0.0  # weight of the loss of the heads that are told where to look


PHASES = (
    Phase(0.35, 512, 0.9, copied=0.25),
    Phase(0.46, CONTEXT, 0.6, copied=0.5),
    Phase(0.54, 256, 0.5, noise=0.25, tiled=0.25, copied=0.4, looking=0.3),
    Phase(0.58, 512, 0.45, noise=0.12, tiled=0.2, copied=0.38, looking=0.2),
    Phase(0.62, 1024, 0.5, tiled=0.12, copied=0.45, looking=0.1),
    Phase(1.0, CONTEXT, 0.5, tiled=0.1, copied=0.45, looking=0.1),
)


@dataclass(frozen=True)
class Shape:
    """What a Llama decoder looks like."""

    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    hidden: int = 704
    vocabulary: int = 256
    rope_theta: float = 10000.0
    epsilon: float = 1e-5

    def config(self) -> dict[str, object]:
        """Return config.json as Hugging Face spells it."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": self.epsilon,
            "rope_theta": self.rope_theta,
            "rope_scaling": None,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "vocab_size": self.vocabulary,
            "bos_token_id": None,
            "eos_token_id": None,
            "torch_dtype": "float16",
        }


class Attention(nn.Module):
    """Grouped-query attention with rotated queries and keys."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_dim, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=False)
        self.seen: tuple[Tensor, Tensor] | None = None  # the last rotated queries and keys

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return [batch, tokens, width] for x of that shape."""
        batch, tokens, _ = x.shape
        q, k, v = (
            projection(x).view(batch, tokens, -1, self.shape.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotated(q, cosine, sine), rotated(k, cosine, sine)
        self.seen = (q, k)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, tokens, -1))


class Feedforward(nn.Module):
    """The gated feed-forward part (SwiGLU)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down_proj = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, tokens, width] for x of that shape."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One decoder layer; its parts are named as Hugging Face names them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, shape.epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, shape.epsilon)
        self.mlp = Feedforward(shape)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return [batch, tokens, width] for x of that shape."""
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """A Llama decoder whose head is its embedding table."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.epsilon)
        frequencies = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        angles = torch.outer(torch.arange(CONTEXT), frequencies).repeat(1, 2)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if last else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits [batch, tokens, vocabulary] of ids [batch, tokens]."""
        x = self.embed_tokens(ids)
        cosine, sine = self.cosine[: ids.shape[1]], self.sine[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, cosine, sine)
        return functional.linear(self.norm(x), self.embed_tokens.weight)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate [batch, heads, tokens, head_dim]; the first half of a head pairs with its second half."""
    first, second = x.chunk(2, dim=-1)
    return (x * cosine + torch.cat((-second, first), dim=-1) * sine).to(x.dtype)


@dataclass(frozen=True)
class Batch:
    """Sequences to learn from, each of `length + 1` bytes."""

    ids: Tensor  # [sequences, length + 1]
    origin: Tensor  # [sequences, length + 1], the position where a byte stood first; its own where it is no copy
    counts: Tensor  # [sequences, length + 1], False for random bytes, which nobody can predict


class Sequences:
    """Draws the sequences of a phase from a text [bytes]."""

    def __init__(self, text: Tensor, seed: int) -> None:
        self.text = text
        self.alphabet = text.unique()
        self.random = torch.Generator().manual_seed(seed)

    def batch(self, phase: Phase, sequences: int) -> Batch:
        """Draw so many sequences."""
        drawn = [self.sequence(phase) for _ in range(sequences)]
        return Batch(*(torch.stack(part) for part in zip(*drawn, strict=True)))

    def sequence(self, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one sequence: its bytes, their origins, and which of them count."""
        positions = torch.arange(phase.length + 1)
        counts = torch.ones(phase.length + 1, dtype=torch.bool)
        kind = float(torch.rand((), generator=self.random))
        if kind < phase.noise:
            origin = positions % self.draw(16, phase.length // 3)
            noise = self.noise(int(origin.max()) + 1)
            return noise[origin], origin, counts & (origin != positions)
        text = self.piece(phase.length + 1)
        if kind < phase.noise + phase.tiled:
            origin = positions % self.draw(32, phase.length - phase.length // 20)
        elif kind < phase.noise + phase.tiled + phase.copied:
            origin = self.with_copies(positions)
        else:
            origin = positions
        return text[origin], origin, counts

    def with_copies(self, positions: Tensor) -> Tensor:
        """Return origins [tokens] in which one passage for every 512 bytes comes a second time."""
        origin = positions.clone()
        for _ in range(max(1, len(origin) // 512)):
            length = min(self.draw(COPIED.start, COPIED.stop), len(origin) // 3)
            source = self.draw(0, len(origin) - 2 * length)
            target = self.draw(source + length, len(origin) - length + 1)
            origin[target : target + length] = origin[source : source + length].clone()
        return origin

    def noise(self, length: int) -> Tensor:
        """Draw random bytes: of the text's alphabet, or the bytes of a piece of text in any order."""
        if self.draw(0, 2):
            return self.alphabet[torch.randint(len(self.alphabet), (length,), generator=self.random)]
        return self.piece(length)[torch.randperm(length, generator=self.random)]

    def piece(self, length: int) -> Tensor:
        """Draw a piece of the text."""
        start = self.draw(0, len(self.text) - length)
        return self.text[start : start + length]

    def draw(self, low: int, high: int) -> int:
        """Draw a number, low <= number < high."""
        return int(torch.randint(low, high, (), generator=self.random))


def losses(model: nn.Module, batch: Tensor) -> Tensor:
    """Return the loss in nats of every predicted byte, [sequences, length]."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch[:, :-1])
    flat = functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
    return flat.view(batch.shape[0], -1)


def looking_loss(model: Decoder, batch: Batch) -> Tensor:
    """Return minus the log of the attention that the retrieving heads give to what they should find, averaged.

    Inside of a copy, from its fourth byte on, that is every earlier coming of the byte to predict. `model` must just
    have seen the batch.
    """
    origin = batch.origin
    tokens = origin.shape[1] - 1
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    wanted = (origin[:, 1:, None] == origin[:, None, :-1]) & causal
    copied = origin != torch.arange(tokens + 1)
    inside = copied.unfold(1, 4, 1).all(-1)
    rows = functional.pad(inside, (2, 0)) & wanted.any(-1)
    if not rows.any():
        return torch.zeros(())
    total = torch.zeros(())
    for layer, head in RETRIEVING:
        attention = model.layers[layer].self_attn
        q, k = attention.seen
        shape = attention.shape
        scores = (q[:, head] @ k[:, head * shape.kv_heads // shape.heads].mT).float() * shape.head_dim**-0.5
        everything = scores.masked_fill(~causal, -1e9).logsumexp(-1)
        found = scores.masked_fill(~wanted, -1e9).logsumexp(-1)
        total = total + (everything - found)[rows].mean()
    return total


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


def save(model: Decoder, shape: Shape, folder: Path) -> None:
    """Write config.json and model.safetensors (F16)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")


def main() -> None:
    """Train until the time is over; measure and write the weights twenty times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="the training text")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--minutes", type=float, default=35.0, help="how long to train (default 35)")
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
