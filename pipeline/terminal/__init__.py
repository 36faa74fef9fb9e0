"""The terminal: live progress, and a log that captures what libraries print."""
