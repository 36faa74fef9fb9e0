"""The top floor: what runs, in what order and where (configuration, DAG, runners, command line)."""
