"""The SavedModel: export it, and read its shapes and labels without loading it."""
