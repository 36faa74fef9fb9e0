"""`edgetune demo`: a local page that runs the variants of an edge bundle in the browser.

No data leaves the machine: page, models and engines are all served from here, and the browser may connect to nothing
else. Importing this package is cheap, and serving needs no TensorFlow.
"""

from __future__ import annotations

from edgetune.pipeline.demo.site import serve

__all__ = ["serve"]
