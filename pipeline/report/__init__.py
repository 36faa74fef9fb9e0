"""The report of a run: a self-contained page, and a few lines for the console.

Importing this package is cheap: matplotlib, jinja2 and TensorFlow are only imported when a report is written.
"""

from __future__ import annotations

from edgetune.pipeline.report.index import write_index
from edgetune.pipeline.report.report import write_report
from edgetune.pipeline.report.summary import summary

__all__ = ["summary", "write_index", "write_report"]
