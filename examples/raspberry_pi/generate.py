"""Continue a text on a small computer, and say how fast and in how much memory.

    python generate.py shakespeare.egs -p "ROMEO:" -n 300
    python generate.py shakespeare.egs -p "ROMEO:" --attention delta --context 1024

The context decides the memory: keys and values are kept for that many tokens.
"""

from __future__ import annotations

import argparse
import sys

import edge_sparse as es
from edge_sparse.machine import peak_memory_bytes, usable_cores


def main() -> int:
    """Generate from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an .egs file of a language model")
    parser.add_argument("-p", "--prompt", default="ROMEO:", help="the beginning")
    parser.add_argument("-n", "--max-tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--attention", default="exact", choices=["exact", "delta"])
    parser.add_argument("--context", type=int, help="tokens that fit; default: as many as the file says")
    parser.add_argument("-t", "--threads", type=int, help="default: all cores but one, at least one")
    parser.add_argument("--backend", default="auto", help="native, numba or reference; default: the fastest here")
    options = parser.parse_args()
    threads = options.threads or max(1, usable_cores() - 1)
    loading = {"attention": options.attention, "context": options.context, "backend": options.backend}
    try:
        with es.llm.load(options.model, threads=threads, **loading) as model:
            print(options.prompt, end="")
            answer = model.generate(
                options.prompt,
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                seed=options.seed,
                stream=True,
            )
            for piece in answer:
                print(piece, end="", flush=True)
            stats = answer.stats
            print(
                f"\n\n{model.session.backend}, {threads} thread(s): {stats.tokens_per_second:.1f} tokens/s, "
                f"first token after {1e3 * stats.first_token_seconds:.0f} ms, seed {stats.seed}; peak memory "
                f"{peak_memory_bytes() / 2**20:.0f} MiB"
            )
    except es.EdgeSparseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
