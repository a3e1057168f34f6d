"""Does the converted model compute what its source computes? Run both and compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_sparse.converters.comparison import Comparison, compare
from edge_sparse.converters.layer_errors import Truncation, first_wrong_node, layer_errors
from edge_sparse.converters.lower import lower
from edge_sparse.converters.masks import source_masks
from edge_sparse.converters.selection import Selection
from edge_sparse.converters.source import Arrays, Source
from edge_sparse.converters.verify_inputs import random_batches, read_batches

from edge_sparse.backends.base import available_backends
from edge_sparse.errors import InputError, VerificationError
from edge_sparse.plan import DType, Model
from edge_sparse.session import Session

__all__ = ["TOLERANCE", "Verification", "check_max_drop", "masked_source", "verification_backend", "verify"]

#: Largest error relative to the largest output. Float32 is the proof that every layer is right; rounded weights change
#: the outputs themselves, so their limits only catch the absurd.
TOLERANCE = {DType.F32: 1e-4, DType.F16: 1e-2, DType.S8: 0.2, DType.S4: 1.0}

#: The same for the outputs of single layers, where sums may cancel.
LAYER_TOLERANCE = 1e-3

Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Verification:
    """What verification found; it exists only when nothing failed.

    Parameters
    ----------
    conversion : Comparison
        The model with float32 weights against the source with the same weights masked: what conversion itself changed.
    tolerance : float
        The limit on ``conversion.relative_error``.
    rounding : Comparison, optional
        The model as stored against the masked source, where weights are stored in fewer bits.
    pruning : Comparison, optional
        The model as stored against the source with all its weights, where weights were dropped.
    layer_errors : mapping of str to float
        Relative error of the output of every node that the source knows, by node name, with float32 weights. Outputs
        of a model can hide a wrong layer: its result may be pruned away, or vanish beside a large bias.
    given_inputs : bool
        Whether ``pruning`` was measured on inputs that the user gave; random ones otherwise.
    backend : str
        What ran the model.
    """

    conversion: Comparison
    tolerance: float
    rounding: Comparison | None
    pruning: Comparison | None
    layer_errors: Mapping[str, float]
    given_inputs: bool
    backend: str


def verification_backend(dtype: DType) -> str:
    """Return the fastest backend here that runs weights of this type."""
    fast = dtype in (DType.F32, DType.F16) and available_backends()["numba"].available
    return "numba" if fast else "reference"


def masked_source(source: Source, selection: Selection) -> Source:
    """Return the source with the weights zero that the selection drops."""
    if selection.graph is selection.unpruned:
        return source
    return source.masked(source_masks(selection.unpruned, selection.graph, selection.orders))


def verify(
    source: Source,
    masked: Source,
    selection: Selection,
    model: Model,
    *,
    dtype: DType = DType.F32,
    inputs: object = None,
    max_drop: float | None = None,
    count: Count = lambda done, total: None,
) -> Verification:
    """Compare a model with its source on at least eight random samples and on the inputs of the user.

    Parameters
    ----------
    source, masked : Source
        The model as it was, and with the dropped weights zero.
    selection : Selection
        What was lowered; needed to name the layer where a mismatch begins.
    model : Model
        As read back from the bytes that will be written.
    dtype : DType
        Element type of its weights.
    inputs
        See ``verify_inputs.read_batches``.
    max_drop : float, optional
        Highest share of samples whose largest output may move because of pruning, 0 to 1.

    Raises
    ------
    VerificationError
        ``VERIFY_MISMATCH``: another result than the masked source's; the message names the first wrong layer.
        ``MAX_DROP``: pruning moved more results than allowed.
    """
    backend = verification_backend(dtype)
    with Session.from_model(model, backend=backend) as session:
        random = random_batches(session.inputs)
        given = [] if inputs is None else read_batches(session.inputs, inputs)
        batches = [*random, *given]
        rows = session.inputs[0].shape[0]
        expected = _run_all(masked.run, batches, count)
        found = [session.run(dict(arrays)) for arrays in batches]
    stored = compare(expected, found, rows * len(batches))
    conversion, rounding = stored, None
    layout = str(model.metadata.get("layout", "auto"))
    if dtype is not DType.F32:
        conversion, rounding = _as_float32(expected, selection, layout, batches, rows), stored
    for comparison, kind in ((conversion, DType.F32), (rounding, dtype)):
        if comparison is not None and comparison.relative_error > TOLERANCE[kind]:
            truncation = Truncation(masked, selection, layout, kind, verification_backend(kind), batches[0])
            raise _mismatch(comparison.relative_error, TOLERANCE[kind], truncation)
    errors = _check_layers(masked, selection, layout, batches[0])
    pruning = None
    if masked is not source:
        judged = slice(len(random), None) if given else slice(None)
        unpruned = _run_all(source.run, batches[judged], count)
        pruning = compare(unpruned, found[judged], rows * len(batches[judged]))
        check_drop(pruning, max_drop)
    return Verification(conversion, TOLERANCE[DType.F32], rounding, pruning, errors, bool(given), backend)


def check_max_drop(max_drop: float | None) -> None:
    """Refuse a share outside of 0 to 1."""
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise InputError("MAX_DROP_RANGE", f"max_drop {max_drop} is not in [0, 1]", "0.02 allows 2 % of the samples")


def check_drop(pruning: Comparison, max_drop: float | None) -> None:
    """Raise where pruning moved the largest output of too many samples."""
    if max_drop is None:
        return
    if pruning.top1_agreement is None:
        raise InputError("MAX_DROP", "max_drop needs an output with one number per class", "leave max_drop out")
    moved = 1 - pruning.top1_agreement
    if moved > max_drop:
        raise VerificationError(
            "MAX_DROP",
            f"pruning moved the top result of {moved:.1%} of {pruning.samples} samples, more than {max_drop:.1%}",
            "lower the sparsity or the group size, or train the model with GroupPruner",
        )


def _run_all(run: Callable[[Arrays], Arrays], batches: Sequence[Arrays], count: Count) -> list[Arrays]:
    results = []
    for done, arrays in enumerate(batches):
        count(done, len(batches))
        results.append(run(arrays))
    return results


def _as_float32(
    expected: Sequence[Arrays], selection: Selection, layout: str, batches: Sequence[Arrays], rows: int
) -> Comparison:
    model = lower(selection.graph, selection.groups, layout=layout)
    with Session.from_model(model, backend=verification_backend(DType.F32)) as session:
        found = [session.run(dict(arrays)) for arrays in batches]
    return compare(expected, found, rows * len(batches))


def _check_layers(masked: Source, selection: Selection, layout: str, arrays: Arrays) -> dict[str, float]:
    backend = verification_backend(DType.F32)
    truncation = Truncation(masked, selection, layout, DType.F32, backend, arrays)
    errors = layer_errors(truncation)
    worst = max(errors.values(), default=0.0)
    if worst > LAYER_TOLERANCE:
        raise _mismatch(worst, LAYER_TOLERANCE, truncation)
    return errors


def _mismatch(error: float, tolerance: float, truncation: Truncation) -> VerificationError:
    wrong = first_wrong_node(truncation, tolerance)
    where = "every layer alone is right, so the fault lies in the bytes or in the memory plan"
    if wrong is not None:
        node, own_error = wrong
        origin = f" ({node.source})" if node.source else ""
        where = f"the first wrong layer is {node.op} {node.name}{origin} with a relative error of {own_error:.1e}"
    return VerificationError(
        "VERIFY_MISMATCH",
        f"the converted model differs from its source by {error:.1e} of the largest value "
        f"(allowed: {tolerance:.0e}); {where}",
        "nothing was written; report this with the layer's source, or leave that layer out",
    )
