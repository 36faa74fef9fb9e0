"""TFX components, one package each: `component.py` (interface) beside `executor.py` (work)."""
