"""`edgetune demo`: a page on this machine that runs the variants of an edge bundle in the browser.

Nothing of it leaves the machine: the page, the models and the engines are all served from here, and the browser is
told to connect to nothing else. Importing this is cheap; no TensorFlow is needed to serve.
"""

from __future__ import annotations

from edgetune.pipeline.demo.site import serve

__all__ = ["serve"]
