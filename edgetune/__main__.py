"""`python -m edgetune`: the command line."""

from edgetune.pipeline.cli import program

program()
