"""Train the byte-level Shakespeare model that this example ships, on a CPU.

    python train.py --text tinyshakespeare.txt --minutes 35 -o model

It writes a Hugging Face folder (config.json, model.safetensors in F16) with a `LlamaForCausalLM` of bytes. The last
tenth of the text is held out. Needs torch and safetensors.
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
LONG_PART = 0.35  # from this share of the time on, every sequence is as long as the context
REPEATED_LINES = range(64, 257)  # lengths in bytes of a passage that comes twice


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

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return [batch, tokens, width] for x of that shape."""
        batch, tokens, _ = x.shape
        q, k, v = (
            projection(x).view(batch, tokens, -1, self.shape.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = functional.scaled_dot_product_attention(
            rotated(q, cosine, sine), rotated(k, cosine, sine), v, is_causal=True, enable_gqa=True
        )
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


def repeat_passage(sequence: Tensor, random: torch.Generator) -> int:
    """Overwrite a later place of a sequence [tokens] with an earlier passage of it, from a line's start to its own.

    Returns
    -------
    int
        Where the repetition begins, so that it can be measured.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=random))

    tokens = len(sequence)
    length = min(draw(REPEATED_LINES.start, REPEATED_LINES.stop), tokens // 4)
    line_starts = (sequence[: tokens - 2 * length] == ord("\n")).nonzero().flatten() + 1
    source = int(line_starts[draw(0, len(line_starts))]) if len(line_starts) else 0
    target = draw(min(source + length, tokens - length - 1), tokens - length)
    sequence[target : target + length] = sequence[source : source + length].clone()
    return target


def batch_of(text: Tensor, sequences: int, length: int, repeated: float, random: torch.Generator) -> Tensor:
    """Draw [sequences, length + 1] bytes; `repeated`: how likely a passage comes twice, for every 1024 bytes."""
    starts = torch.randint(len(text) - length, (sequences,), generator=random)
    batch = torch.stack([text[start : start + length + 1] for start in starts])
    for sequence in batch:
        for _ in range(max(1, length // 1024)):
            if torch.rand((), generator=random) < repeated:
                repeat_passage(sequence, random)
    return batch


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
    loss_512: float
    repeated: float  # a passage's second coming, after its first 16 bytes


@torch.no_grad()
def quality(model: nn.Module, text: Tensor, sequences: int = 32) -> Quality:
    """Measure a model on the first so many sequences of held-out text [bytes]."""

    def loss(length: int, most: int) -> float:
        cut = text[: len(text) // length * length].view(-1, length)[:most]
        return float(torch.cat([losses(model, part) for part in cut.split(8)]).mean())

    random = torch.Generator().manual_seed(1)
    batch = batch_of(text, 8, CONTEXT, 0, random)
    targets = [repeat_passage(sequence, random) for sequence in batch]
    found = losses(model, batch)
    again = torch.cat([found[i, at + 15 : at + 63] for i, at in enumerate(targets)])
    return Quality(loss(CONTEXT, sequences), loss(512, sequences), float(again.mean()))


def optimisers(model: Decoder) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices and AdamW for the table and the norms."""
    matrices = [p for p in model.layers.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, lr=4e-3, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(progress: float) -> float:
    """Return the share of the full learning rate at a share of the time: warm-up, then a cosine down to 2 %."""
    half_turn = torch.pi * progress
    return min(1.0, progress / 0.02) * (0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(half_turn)))))


def save(model: Decoder, shape: Shape, folder: Path) -> None:
    """Write config.json and model.safetensors (F16)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")


def main() -> None:
    """Train until the time is over; whenever the held-out loss is the best so far, write the weights."""
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
    random = torch.Generator().manual_seed(options.seed)
    text = torch.frombuffer(bytearray(options.text.read_bytes()), dtype=torch.uint8).long()
    split = int(len(text) * (1 - HELD_OUT))
    train_text, held_out = text[:split], text[split:]

    shape = Shape()
    model = Decoder(shape)
    steppers = optimisers(model)
    full_rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(train_text):,} bytes of training text")

    began = time.monotonic()
    best, step, progress, measured_at = float("inf"), 0, 0.0, 0.0
    while progress < 1.0:
        progress = min(1.0, (time.monotonic() - began) / (60 * options.minutes))
        length = CONTEXT if progress >= LONG_PART else 512
        batch = batch_of(train_text, options.step_tokens // length, length, 0.5 if length == CONTEXT else 0.25, random)
        loss = losses(model, batch).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper, full in zip(steppers, full_rates, strict=True):
            stepper.param_groups[0]["lr"] = full * rate(progress)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        step += 1
        if step % 20 == 0:
            print(f"{progress:6.1%} step {step} loss {loss.item():.4f} {time.monotonic() - began:.0f} s", flush=True)
        if progress >= measured_at:
            found = quality(model, held_out)
            print(f"{progress:6.1%} step {step} held-out {json.dumps(asdict(found))}", flush=True)
            if found.loss < best:
                best = found.loss
                save(model, shape, options.output)
            measured_at = min(1.0, progress + 0.05)


if __name__ == "__main__":
    main()
