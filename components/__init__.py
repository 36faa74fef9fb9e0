"""The middle floor: TFX components, one package each, with `component.py` beside `executor.py`."""
