"""The YAML configuration: load, report problems with their place, generate schema and reference."""
