"""The report of a conversion: one page for people, the same as JSON for programs."""

from edge_sparse.converters.report.build import build_report
from edge_sparse.converters.report.data import ConversionReport, LayerReport, OtherSteps
from edge_sparse.converters.report.page import report_html
from edge_sparse.converters.report.text import report_json

__all__ = ["ConversionReport", "LayerReport", "OtherSteps", "build_report", "report_html", "report_json"]
