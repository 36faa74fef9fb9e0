"""The typed tree of settings, and the table of architectures."""
