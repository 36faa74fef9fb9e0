"""TFX components, one package each, with the interface in `component.py` and the work in `executor.py`."""
