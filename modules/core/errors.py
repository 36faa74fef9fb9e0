"""Errors that a user can cause, as one tree.

    EdgetuneError                exit code
    ├── ConfigError              2   a key, a value or a command-line argument
    ├── DataError                3   the images, their folders, their labels
    ├── WeightsError             4   pretrained weights: absent, altered, of another architecture
    ├── TrainingError            5   the loss is not a number, or nothing was learned
    ├── ExportError              6   SavedModel or LiteRT conversion, or what came out of it
    ├── NotBlessed               7   the run ended, and a gate refused the model
    ├── PushError                8   the destination of a push
    ├── BundleError              9   an edge bundle: a file missing or altered, or not what it says it is
    └── SubmitError              10  a platform: unreachable, refusing, without credentials, or a run on it that failed

Each carries a cause and a remedy, both in one sentence. The command line prints them without a traceback and
exits with the class's `exit_code`; any other exception is a defect of edgetune and exits with 1.
"""

from __future__ import annotations


class EdgetuneError(Exception):
    """Base of all errors that a user can cause.

    Args:
        cause: What is wrong, naming the file or the key.
        remedy: What to do about it. Empty where the cause says it all.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}\n  remedy: {self.remedy}" if self.remedy else self.cause


class ConfigError(EdgetuneError):
    """A configuration key or value, or a command-line argument, cannot be used."""

    exit_code = 2


class DataError(EdgetuneError):
    """The data cannot be read, or may not be trained on."""

    exit_code = 3


class WeightsError(EdgetuneError):
    """Pretrained weights cannot be had, or do not fit the architecture."""

    exit_code = 4


class TrainingError(EdgetuneError):
    """Training failed, or learned nothing."""

    exit_code = 5


class ExportError(EdgetuneError):
    """A model could not be exported, or what was exported is not what it should be."""

    exit_code = 6


class NotBlessed(EdgetuneError):
    """A gate refused the model; nothing was pushed."""

    exit_code = 7


class PushError(EdgetuneError):
    """A blessed model could not be delivered."""

    exit_code = 8


class BundleError(EdgetuneError):
    """An edge bundle, or a LiteRT model, is not what it should be."""

    exit_code = 9


class SubmitError(EdgetuneError):
    """A platform could not be asked, refused, or the run on it failed."""

    exit_code = 10
