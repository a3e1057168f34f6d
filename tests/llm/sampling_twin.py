"""A slow twin of the sampler and of its random numbers, written from ``docs/generation.md`` alone."""

import math


def random_numbers(seed, count):
    state, result = ((109 + seed) * 6364136223846793005 + 109) % 2**64, []
    for _ in range(count):
        old, state = state, (state * 6364136223846793005 + 109) % 2**64
        x, turn = (((old >> 18) ^ old) >> 27) % 2**32, old >> 59
        bits = f"{x:032b}"
        result.append(int(bits[32 - turn :] + bits[: 32 - turn], 2))
    return result


def choose(logits, options, number, context):
    x = [float(value) for value in logits]
    r, t = options.get("repetition_penalty", 1.0), options.get("temperature", 1.0)
    for token in set(context):
        x[token] = x[token] / r if x[token] > 0 else x[token] * r
    if t == 0:
        return x.index(max(x))
    scores = [(value - max(x)) / t for value in x]
    kept = sorted(range(len(x)), key=lambda token: (-scores[token], token))
    if options.get("top_k"):
        kept = kept[: options["top_k"]]
    weights = {token: math.exp(scores[token]) for token in kept}
    if options.get("top_p", 1.0) < 1:
        total, running = sum(weights.values()), 0.0
        for place, token in enumerate(kept):
            running += weights[token]
            if running >= options["top_p"] * total:
                kept = kept[: place + 1]
                break
    if options.get("min_p"):
        kept = [token for token in kept if scores[token] >= math.log(options["min_p"])]
    wanted, running = number / 2**32 * sum(weights[token] for token in kept), 0.0
    for token in kept:
        running += weights[token]
        if running > wanted:
            return token
    return kept[-1]
