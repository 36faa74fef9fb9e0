"""The pipeline's own examples: reading them, Transform's `preprocessing_fn` and pixel packing."""
