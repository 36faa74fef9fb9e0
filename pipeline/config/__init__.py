"""The YAML configuration: load it, report problems with file and line, generate schema and reference."""
