"""The terminal: live progress, and a log that captures the output of libraries."""
