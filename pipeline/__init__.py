"""Configuration, pipeline graph, runners and command line: what runs, in what order and where."""
