"""ML Metadata: connect to the store, and read the outcome of a run from it."""
