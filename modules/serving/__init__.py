"""The SavedModel: exporting one, and reading one without loading it."""
