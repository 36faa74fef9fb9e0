"""Let Beam remember what it finds out about classes and options, and keep no side inputs: for each transform it looks
again, and for each side input it walks through all modules, which together take two thirds of the time of a small
pipeline. Runs of edgetune keep no side inputs either (`edgetune.pipeline.local.observed_runner`)."""

from __future__ import annotations

import functools
from typing import Any
from weakref import WeakKeyDictionary

_REMEMBERING = "edgetune_tests_remember"


def remember() -> None:
    """Change Beam in this process, once; it must have been imported."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.transforms import userstate

    if hasattr(userstate, _REMEMBERING):
        return
    setattr(userstate, _REMEMBERING, True)
    find, view_as = userstate.get_dofn_specs, PipelineOptions.view_as
    specs: dict[type, Any] = {}
    # Not on the options themselves: a copy of them would copy the views, whose copies have views again, without end.
    known: WeakKeyDictionary[Any, dict[type, Any]] = WeakKeyDictionary()

    @functools.wraps(find)
    def get_dofn_specs(dofn: Any) -> Any:
        # State and timers are defaults of the methods of a class.
        if type(dofn) not in specs:
            specs[type(dofn)] = find(dofn)
        return specs[type(dofn)]

    @functools.wraps(view_as)
    def remembered_view(self: Any, cls: type) -> Any:
        # All views share the values: only the parsing of the flags is spared.
        views = known.setdefault(self, {})
        if cls not in views:
            views[cls] = view_as(self, cls)
        return views[cls]

    worker_handlers.STATE_CACHE_SIZE_MB = 0
    userstate.get_dofn_specs = get_dofn_specs
    PipelineOptions.view_as = remembered_view
