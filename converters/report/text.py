"""A report as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from edge_sparse.converters.report.data import ConversionReport

__all__ = ["report_json"]


def report_json(report: ConversionReport) -> str:
    """Return the report as JSON: the fields of ``ConversionReport``, with each layer's ``row`` merged into it.

    Numbers that JSON does not know (infinity) are null.
    """
    values = _plain(dataclasses.asdict(report))
    for layer in values["layers"]:
        layer.update(layer.pop("row"))
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
