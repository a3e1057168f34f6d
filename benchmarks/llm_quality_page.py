"""Tables and plots of ``docs/decoding.md`` from what ``llm_quality.py`` measured."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

__all__ = ["render", "sparsity_at"]

#: The promise of the paper, and the rise in perplexity that is still called none.
WANTED, RISE = 0.57, 0.01
#: A threshold that no key exceeds.
FAR = 1000.0


def render(results: dict, docs: Path) -> None:
    """Draw the plots and put the tables between their marks."""
    page = docs / "decoding.md"
    text = page.read_text(encoding="utf-8")
    for name, content in _tables(results).items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{page} has no place for {name}")
        text = pattern.sub(lambda _, b=begin, c=content, e=end: f"{b}\n{c}\n\n{e}", text)
    page.write_text(text, encoding="utf-8")
    (docs / "img").mkdir(exist_ok=True)
    _plots(results, docs / "img")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _tables(results: dict) -> dict[str, str]:
    tables = {}
    for model in (name for name in results if name != "time"):
        found = results[model]
        tables[f"{model} weights"] = _weights(found["weights"])
        tables[f"{model} delta"] = _delta(found["attention"])
        tables[f"{model} windows"] = _windows(found["attention"])
        tables[f"{model} decode"] = _milliseconds(found["decode"])
    models = [name for name in results if name != "time"]
    tables["frontier"] = _frontier({model: results[model]["attention"] for model in models})
    if "time" in results:
        tables["time"] = _milliseconds(results["time"]["rows"])
    machines = {results[name]["machine"] for name in results}
    minutes = sum(results[name].get("seconds", 0) for name in results) / 60
    tables["machine"] = f"Measured on {'; '.join(sorted(machines))}, in {minutes:.0f} minutes for the quality tables."
    return tables


def _perplexity(row: dict) -> float:
    return math.exp(min(row["loss"], 50))


def _found(row: dict) -> str:
    return f"{row['found']:.0%} ({row['guessed']:.0%}), {row['gained']:+.2f}"


def _weights(rows: list[dict]) -> str:
    header = ["sparsity", "group", "perplexity", "rise", "rise, head whole", "line found (guessed), nats", "seconds"]
    base, lines = _perplexity(rows[0]), []
    for row in rows:
        group = f"gs{row['group']}x1" if row["group"] else "dense"
        cells = [
            f"{row['weight_sparsity']:.0%}",
            group,
            f"{_perplexity(row):.3f}",
            f"{_perplexity(row) / base - 1:+.1%}",
        ]
        whole = f"{math.exp(row['loss_head_whole']) / base - 1:+.1%}" if "loss_head_whole" in row else ""
        lines.append([*cells, whole, _found(row), f"{row['seconds']:.1f}"])
    return f"At depth {rows[0]['depth']}, {rows[0]['tokens']} predicted tokens:\n\n" + _table(header, lines)


def _groups(rows: list[dict]) -> dict[int, list[dict]]:
    depths = sorted({row["depth"] for row in rows})
    return {depth: [row for row in rows if row["depth"] == depth] for depth in depths}


def _of_default_window(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["mode"] == "delta" and row["window"] == 0.05]


def _rise(row: dict, rows: list[dict]) -> float:
    exact = next(other for other in rows if other["mode"] == "exact F32")
    return math.exp(min(row["loss"] - exact["loss"], 50)) - 1


def _delta(rows: list[dict]) -> str:
    header = [
        "depth",
        "keys",
        "perplexity",
        "rise",
        "unchanged outside",
        "× (1 − w/n)",
        "line found (guessed), nats",
        "s",
    ]
    lines = []
    for depth, own in _groups(rows).items():
        for row in [r for r in own if r["mode"] != "delta"] + _of_default_window(own):
            name = f"θ = {row['theta']:g}" if row["mode"] == "delta" else row["mode"].lower()
            name = "none outside (θ = 1000)" if row["theta"] == FAR else name
            sparsities = (row["sparsity_outside"], row["sparsity"])
            sparsity = [f"{s:.1%}" if row["mode"] == "delta" else "" for s in sparsities]
            cells = [str(depth), name, f"{_perplexity(row):.3f}", f"{_rise(row, own):+.2%}", *sparsity]
            lines.append([*cells, _found(row), f"{row['seconds']:.1f}"])
    return _table(header, lines)


def _windows(rows: list[dict]) -> str:
    deltas = [row for row in rows if row["mode"] == "delta"]
    windows = sorted({row["window"] for row in deltas})
    thetas = sorted({row["theta"] for row in deltas if row["window"] != 0.05})
    header = ["depth", "θ", *(f"w = {w:.0%}" if w else "w = 1 token" for w in windows)]
    lines = []
    for depth, own in _groups(rows).items():
        for theta in thetas:
            chosen = {row["window"]: row for row in own if row["mode"] == "delta" and row["theta"] == theta}
            cells = [f"{_rise(chosen[w], own):+.2%}" if w in chosen else "" for w in windows]
            lines.append([str(depth), f"{theta:g}", *cells])
    return _table(header, lines)


def sparsity_at(rows: list[dict], rise: float) -> tuple[float, float]:
    """Return theta and the share of unchanged elements where the perplexity of a depth has risen by so much.

    Between two thresholds both are interpolated; the last threshold is returned if none rises so far.
    """
    own = sorted(_of_default_window(rows), key=lambda row: row["theta"])
    before = {"theta": 0.0, "sparsity_outside": 0.0, "rise": 0.0}
    for row in own:
        here = {"theta": row["theta"], "sparsity_outside": row["sparsity_outside"], "rise": _rise(row, rows)}
        if here["rise"] > rise:
            share = (rise - before["rise"]) / (here["rise"] - before["rise"])
            return tuple(before[k] + share * (here[k] - before[k]) for k in ("theta", "sparsity_outside"))  # type: ignore[return-value]
        before = here
    return before["theta"], before["sparsity_outside"]


def _frontier(models: dict[str, list[dict]]) -> str:
    header = [
        "model",
        "depth",
        "θ at +1 %",
        "unchanged outside",
        "θ at 57 % unchanged",
        "rise there",
        "with no far keys",
    ]
    lines = []
    for model, rows in models.items():
        for depth, own in _groups(rows).items():
            theta, share = sparsity_at(own, RISE)
            there = _rise_at(own)
            cells = [f"{there[0]:.2f}", f"{there[1]:+.1%}"] if there else ["–", "–"]
            far = [f"{_rise(row, own):+.1%}" for row in _of_default_window(own) if row["theta"] == FAR]
            lines.append([model, str(depth), f"{theta:.2f}", f"{share:.0%}", *cells, *(far or [""])])
    return _table(header, lines)


def _rise_at(rows: list[dict]) -> tuple[float, float] | None:
    """Return theta and the rise where ``WANTED`` of the elements are unchanged."""
    own = sorted(_of_default_window(rows), key=lambda row: row["theta"])
    for low, high in pairwise(own):
        if low["sparsity_outside"] <= WANTED <= high["sparsity_outside"]:
            share = (WANTED - low["sparsity_outside"]) / (high["sparsity_outside"] - low["sparsity_outside"])
            theta = low["theta"] + share * (high["theta"] - low["theta"])
            return theta, (1 - share) * _rise(low, rows) + share * _rise(high, rows)
    return None


def _milliseconds(rows: list[dict]) -> str:
    names = list(rows[0]["milliseconds"])
    shares = rows[-1].get("sparsity", {})
    titles = [f"{name} ({shares[name]:.0%} unchanged)" if shares.get(name) else name for name in names]
    times = [[f"{low:.3f} / {middle:.3f}" for low, middle in (row["milliseconds"][n] for n in names)] for row in rows]
    return _table(["depth", *titles], [[str(row["depth"]), *t] for row, t in zip(rows, times, strict=True)])


def _plots(results: dict, folder: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "edge_sparse", "font.size": 9, "axes.grid": True}
    import matplotlib.pyplot as plt

    models = [name for name in results if name != "time"]

    def figure(name: str, draw: object, count: int) -> None:
        plot, axes = plt.subplots(1, count, figsize=(3.6 * count, 3.0), squeeze=False, constrained_layout=True)
        draw(axes[0])  # type: ignore[operator]
        plot.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(plot)

    def sparsity(axes: Sequence) -> None:
        for axis, model in zip(axes, models, strict=True):
            for depth, own in _groups(results[model]["attention"]).items():
                points = sorted((row["sparsity_outside"], _rise(row, own)) for row in _of_default_window(own))
                axis.plot(
                    *zip(*[(x, 100 * max(y, 1e-4)) for x, y in points], strict=True), marker=".", label=f"{depth}"
                )
            axis.axhline(100 * RISE, color="grey", linestyle=":")
            axis.axvline(WANTED, color="grey", linestyle=":")
            axis.set(title=model, yscale="log", xlabel="unchanged key elements", ylabel="rise of perplexity, %")
            axis.legend(title="depth")

    def weights(axes: Sequence) -> None:
        for axis, model in zip(axes, models, strict=True):
            rows = results[model]["weights"]
            for group in sorted({row["group"] for row in rows if row["group"]}):
                own = [row for row in rows if row["group"] in (0, group)]
                points = [(100 * row["weight_sparsity"], _perplexity(row)) for row in own]
                axis.plot(*zip(*points, strict=True), marker=".", label=f"gs{group}x1")
            axis.set(title=model, yscale="log", xlabel="dropped weights, %", ylabel="perplexity")
            axis.legend()

    def found(axes: Sequence) -> None:
        for axis, model in zip(axes, models, strict=True):
            for depth, own in _groups(results[model]["attention"]).items():
                points = [(r["theta"], 100 * r["found"]) for r in _of_default_window(own) if r["theta"] < FAR]
                exact = next(row for row in own if row["mode"] == "exact F32")
                (line,) = axis.plot(*zip(*points, strict=True), marker=".", label=f"{depth}")
                axis.axhline(100 * exact["guessed"], color=line.get_color(), linestyle=":")
            axis.set(title=model, xlabel="θ", ylabel="tokens of an earlier line found, %", ylim=(0, 100))
            axis.legend(title="depth")

    def times(axes: Sequence) -> None:
        rows = results["time"]["rows"]
        for name in rows[0]["milliseconds"]:
            points = [(row["depth"], row["milliseconds"][name][0]) for row in rows]
            axes[0].plot(*zip(*points, strict=True), marker=".", label=name)
        axes[0].set(xscale="log", yscale="log", xlabel="depth", ylabel="ms per token and layer")
        axes[0].legend(fontsize=7)

    if models:
        figure("delta_sparsity", sparsity, len(models))
        figure("weight_sparsity", weights, len(models))
        figure("retrieval", found, len(models))
    if "time" in results:
        figure("attention_time", times, 1)
