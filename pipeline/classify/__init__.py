"""Ask a model, of an edge bundle or a SavedModel, about images: which model, which images, its answers, how right."""
