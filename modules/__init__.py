"""The ground floor: the machine learning, with no orchestration.

Nothing here imports `components` or `pipeline`, and nothing here knows TFX's orchestration. The folder stays
flat, because TFX packages a module file with only the `*.py` files beside it.
"""
