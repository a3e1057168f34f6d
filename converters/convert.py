"""``convert``: from a model of another framework to an ``.egs`` file that is proved to compute the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edge_sparse.converters.layer_table import layer_table
from edge_sparse.converters.lower import lower
from edge_sparse.converters.options import ConvertOptions, read_group, read_image, read_labels, read_overrides
from edge_sparse.converters.output import check_outputs, write_files
from edge_sparse.converters.passes import optimise
from edge_sparse.converters.pruning.options import Scope
from edge_sparse.converters.records import with_records
from edge_sparse.converters.result import ConvertResult
from edge_sparse.converters.selection import Selection, select
from edge_sparse.converters.source import Source
from edge_sparse.converters.verify import Verification, check_max_drop, masked_source, verify
from edge_sparse.converters.weights import check_finite, check_range, fill_zeros, flush_subnormals

from edge_sparse.errors import ConvertError
from edge_sparse.format.reader import parse_model
from edge_sparse.format.writer import model_bytes
from edge_sparse.plan import DType, ImagePreprocessing, Model

__all__ = ["Progress", "convert"]

#: Called with (stage, done, total); the stages are read, select, lower, verify, measure and write.
Progress = Callable[[str, int, int], None]


def convert(
    source: Any,
    example_inputs: Sequence[Any] | None = None,
    output: str | Path | None = None,
    *,
    sparsity: float | None = None,
    group: str | int | None = None,
    scope: Scope = "layer",
    pattern: Literal["tap", "kernel"] = "tap",
    rearrange: bool = False,
    include_depthwise: bool = False,
    include_stem: bool = False,
    include_linear: bool = True,
    overrides: Mapping[str, Any] | None = None,
    layout: Literal["auto", "chw", "nhwc"] = "auto",
    dtype: Literal["f32", "f16", "s8", "s4"] = "f32",
    batch: int | None = None,
    labels: Sequence[str] | str | Path | None = None,
    image: ImagePreprocessing | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    verify: bool = True,
    verify_inputs: Any = None,
    max_drop: float | None = None,
    report: str | Path | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Convert a model, prune it if asked to, verify the result against the source, and write it.

    Nothing is written unless everything succeeded; an existing file stays as it was.

    Parameters
    ----------
    source : torch.nn.Module, torch.export.ExportedProgram, path of a .pt2 file, or a Source
        The model. It is not changed.
    example_inputs : sequence of torch.Tensor, optional
        Inputs of a module, as its ``forward`` takes them; their shapes are fixed in the file.
    output : path, optional
        The ``.egs`` file. Without it the result is kept in memory only.
    sparsity : float, optional
        Share of weights to drop in every layer that is pruned, in [0, 1). Without it nothing is dropped: zeros that the
        model has are found and kept, layer by layer at the widest group that they allow.
    group : str or int, optional
        Rows that are dropped together, ``"gs4x1"`` or 4. By default gs4x1 for convolutions, gs16x1 for linear layers.
    scope : {"layer", "strip", "global"}
        Drop the same share in every layer, in every strip of rows, or the least important groups of the whole model.
    pattern : {"tap", "kernel"}
        k x k convolutions lose single taps of an input channel, or whole kernels.
    rearrange : bool
        Permute channels first so that groups keep more magnitude; computes the same. Whether that helps accuracy
        depends on the network (``benchmarks/resnet20.py``), so try both.
    include_depthwise, include_stem, include_linear : bool
        Which layers are pruned besides 1x1 and k x k convolutions.
    overrides : mapping, optional
        Settings by layer name pattern: ``{"head*": "dense", "layer3.*": {"sparsity": 0.9, "group": "gs8x1"}}``.
    layout : {"auto", "chw", "nhwc"}
        Layout of images inside the model; the boundary keeps the source's.
    dtype : {"f32", "f16", "s8", "s4"}
        Type of the stored weights of convolutions and linear layers, depthwise excepted.
    batch : int, optional
        Another batch size than that of the example inputs.
    labels : sequence of str or path, optional
        Class names, or a text file with one per line.
    image : ImagePreprocessing or dict, optional
        How an image becomes the input.
    overwrite : bool
        Replace existing files.
    verify : bool
        Compare with the source.
    verify_inputs : array, sequence, mapping or path of .npy or .npz, optional
        Inputs to compare on besides random ones; the change that pruning makes is judged on them alone.
    max_drop : float, optional
        Fail when pruning moves the top result of more than this share of the samples.
    report : path, optional
        An HTML report is written there and the same as JSON beside it.
    dry_run : bool
        Read, check and list what would happen; verify and write nothing.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    ConvertResult

    Raises
    ------
    ConvertError
        The source, its weights or an option cannot be converted.
    VerificationError
        The result does not compute what the source computes, or ``max_drop`` was exceeded.
    OutputFileError
        A file exists already or cannot be written.
    """
    options = ConvertOptions(
        sparsity=sparsity,
        group=read_group(group),
        scope=scope,
        pattern=pattern,
        rearrange=rearrange,
        include_depthwise=include_depthwise,
        include_stem=include_stem,
        include_linear=include_linear,
        overrides=read_overrides(overrides),
        layout=layout,
        dtype=dtype,
    )
    check_max_drop(max_drop)
    names, preprocessing = read_labels(labels), read_image(image)
    path = None if output is None or dry_run else Path(output)
    reports = () if report is None or dry_run else (Path(report), Path(report).with_suffix(".json"))
    check_outputs([*([path] if path else []), *reports], overwrite=overwrite)
    tell: Progress = progress or (lambda stage, done, total: None)

    tell("read", 0, 1)
    original = _read(source, example_inputs, batch)
    selection, flushed = _select(original, options, tell)
    tell("lower", 0, 1)
    model, data, dense_bytes, warnings = _build(selection, options, names, preprocessing)
    warnings = [*getattr(original, "warnings", ()), *_warnings(options, flushed), *warnings]
    verification: Verification | None = None
    masked = masked_source(original, selection) if (verify or reports) and not dry_run else original
    if verify and not dry_run:
        verification = _verify(original, masked, selection, model, options, verify_inputs, max_drop, tell)
    result = ConvertResult(
        path=path,
        bytes=len(data),
        dense_bytes=dense_bytes,
        layers=layer_table(selection, model),
        verification=verification,
        gains=selection.gains,
        flushed=flushed,
        warnings=tuple(warnings),
        model=model,
    )
    contents = {path: data} if path else {}
    if reports:
        contents |= _report(masked, selection, options, result, reports, tell)
    tell("write", 0, 1)
    write_files(contents, overwrite=overwrite)
    tell("write", 1, 1)
    return dataclasses.replace(result, reports=reports)


def _read(source: Any, example_inputs: Sequence[Any] | None, batch: int | None) -> Source:
    if isinstance(source, Source):
        if batch is not None:
            raise ConvertError("BATCH_FIXED", "a source that was read already has its batch size", "read it with batch")
        return source
    from edge_sparse.converters.frontends.torch_export import read_torch

    read: Source = read_torch(source, example_inputs, batch=batch)
    return read


def _select(source: Source, options: ConvertOptions, tell: Progress) -> tuple[Selection, int]:
    check_finite(source.graph)
    graph, flushed = flush_subnormals(optimise(source.graph))
    check_finite(graph)
    check_range(graph, options.value_dtype)
    tell("select", 0, 1)
    return select(graph, options, lambda done, total: tell("select", done, total)), flushed


def _build(
    selection: Selection, options: ConvertOptions, labels: tuple[str, ...], image: ImagePreprocessing | None
) -> tuple[Model, bytes, int, list[str]]:
    """Return the model as it is read back from its bytes, the bytes, the size of the dense file, and warnings."""
    lowered = lower(selection.graph, selection.groups, layout=options.layout, value_dtype=options.value_dtype)
    lowered, warnings = with_records(lowered, options, labels, image)
    data = model_bytes(lowered)
    layout = str(lowered.metadata["layout"])
    dense = lower(fill_zeros(selection.unpruned), {}, layout=layout)
    dense = dataclasses.replace(dense, labels=labels, image=image, metadata=lowered.metadata)
    return parse_model(data), data, len(model_bytes(dense)), warnings


def _warnings(options: ConvertOptions, flushed: int) -> list[str]:
    warnings = []
    if flushed:
        warnings.append(f"{flushed} weights below the smallest normal float32 were set to zero")
    if options.value_dtype in (DType.S8, DType.S4):
        warnings.append(f"{options.dtype} weights run on backend 'reference' only, which is slow")
    return warnings


def _verify(
    original: Source,
    masked: Source,
    selection: Selection,
    model: Model,
    options: ConvertOptions,
    inputs: Any,
    max_drop: float | None,
    tell: Progress,
) -> Verification:
    tell("verify", 0, 1)
    return verify(
        original,
        masked,
        selection,
        model,
        dtype=options.value_dtype,
        inputs=inputs,
        max_drop=max_drop,
        count=lambda done, total: tell("verify", done, total),
    )


def _report(
    masked: Source,
    selection: Selection,
    options: ConvertOptions,
    result: ConvertResult,
    paths: tuple[Path, ...],
    tell: Progress,
) -> dict[Path, bytes]:
    from edge_sparse.converters.report import build_report, report_html, report_json

    built = build_report(masked, selection, options, result, lambda done, total: tell("measure", done, total))
    return {paths[0]: report_html(built).encode(), paths[1]: report_json(built).encode()}
