"""Measured time of the layers of a converted model, beside the same model dense."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_sparse.converters.lower import lower
from edge_sparse.converters.selection import Selection
from edge_sparse.converters.weights import fill_zeros

from edge_sparse.backends.base import available_backends
from edge_sparse.plan import Model
from edge_sparse.session import Session

__all__ = ["LayerTime", "Timing", "break_even_by_speed", "measure"]

REPEATS = 30
Count = Callable[[int, int], None]


@dataclass(frozen=True)
class LayerTime:
    """Seconds per run of one node, all its steps together."""

    minimum: float
    median: float


@dataclass(frozen=True)
class Timing:
    """Times by node name; steps between the nodes (copies, phase splits) go by their own names.

    Parameters
    ----------
    converted : mapping of str to LayerTime
        The model as converted.
    dense : mapping of str to LayerTime
        With all weights kept, each layer at the group size whose dense kernel is fastest.
    full_groups : mapping of str to LayerTime
        With all weights kept, but at the group sizes of the converted model.
    backend : str
        What ran.
    """

    converted: Mapping[str, LayerTime]
    dense: Mapping[str, LayerTime]
    full_groups: Mapping[str, LayerTime]
    backend: str


def measure(selection: Selection, model: Model, count: Count = lambda done, total: None) -> Timing | None:
    """Time the model, its dense twin, and the twin with the converted groups; None where only the oracle can run.

    Runs alternate with nothing else, so compare times of one report only.
    """
    if not available_backends()["numba"].available or any(m.dtype.name in ("S8", "S4") for m in model.matrices):
        return None
    layout = str(model.metadata.get("layout", "auto"))
    dtype = model.matrices[0].dtype if model.matrices else None
    filled = fill_zeros(selection.unpruned)
    options = {} if dtype is None else {"value_dtype": dtype}
    models = [
        model,
        lower(filled, {}, layout=layout, **options),
        lower(filled, selection.groups, layout=layout, **options),
    ]
    nodes = {node.name for node in selection.graph.nodes}
    times = []
    for done, variant in enumerate(models):
        count(done, len(models))
        with Session.from_model(variant, backend="numba") as session:
            times.append(_by_node(session, nodes))
    count(len(models), len(models))
    return Timing(times[0], times[1], times[2], "numba")


def _by_node(session: Session, nodes: set[str]) -> dict[str, LayerTime]:
    session.profile(repeats=3)  # The first runs fill the caches.
    times: dict[str, LayerTime] = {}
    for step in session.profile(repeats=REPEATS):
        name = step.name if step.name in nodes else _owner(step.name, nodes)
        before = times.get(name, LayerTime(0.0, 0.0))
        times[name] = LayerTime(before.minimum + step.seconds_min, before.median + step.seconds_median)
    return times


def _owner(step: str, nodes: set[str]) -> str:
    """Return the node that a step such as ``layer.subsample`` belongs to, or the step's own name."""
    base = step.rpartition(".")[0]
    return base if base in nodes else step


def break_even_by_speed(density: float, sparse: float, full: float, dense: float) -> float | None:
    """Return the density at which a layer's sparse form is as fast as its dense form.

    Time is taken as a straight line through ``(density, sparse)`` and ``(1, full)``; 1 means that sparse is faster
    at any density, 0 that it never is. None where the times do not grow with the density.
    """
    if density >= 1 or full <= sparse:
        return None
    at = density + (dense - sparse) * (1 - density) / (full - sparse)
    return min(1.0, max(0.0, at))
