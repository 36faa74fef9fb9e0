"""Say what a run would read, before any run: counts, classes, splits, formats, findings, rejected files, and time."""
