"""The user's data before the pipeline: sources, lists, splits, near-duplicates and findings."""
