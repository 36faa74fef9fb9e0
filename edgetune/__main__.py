"""`python -m edgetune`: the command line."""

import sys

from edgetune.pipeline.cli import main

sys.exit(main())
