"""Errors that a user can cause, as one class tree.

    EdgetuneError                exit code
    ├── ConfigError              2   a key, a value or a command-line argument
    ├── DataError                3   the images, their folders, their labels
    ├── WeightsError             4   pretrained weights: missing, altered, or of another architecture
    ├── TrainingError            5   the loss is not a number, or nothing was learned
    ├── ExportError              6   SavedModel export or LiteRT conversion, or a check of the exported model
    ├── NotBlessed               7   the run finished, but a gate did not bless the model
    ├── PushError                8   the destination of a push
    ├── BundleError              9   an edge bundle or LiteRT model: files missing, altered or inconsistent
    ├── SubmitError              10  a platform: unreachable, rejecting the request, no credentials, or a failed run
    ├── MachineError             11  this machine: a full disk, or an output that cannot be written
    ├── MemoryShortage           12  this machine, or a limit of this process, has too little memory
    ├── DatabaseError            13  the records of the runs: damaged, or of another program
    ├── AccessError              14  a file or folder that this user may not read or write
    └── ProcessKilled            15  the process of a run was killed, or crashed in native code

`modules.core.faults` finds out which of the last five an exception of a library means.

Each has a cause and a remedy of one sentence each. The command line prints them without a traceback and exits with
the class's `exit_code`; any other exception is a defect of edgetune and exits with 1.
"""

from __future__ import annotations


class EdgetuneError(Exception):
    """Base of all errors that a user can cause.

    Args:
        cause: What is wrong, naming the file or the key.
        remedy: What to do about it. Empty if the cause makes it obvious.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}\n  remedy: {self.remedy}" if self.remedy else self.cause


class ConfigError(EdgetuneError):
    """A configuration key, a value or a command-line argument is invalid."""

    exit_code = 2


class DataError(EdgetuneError):
    """The data cannot be read or cannot be trained on."""

    exit_code = 3


class WeightsError(EdgetuneError):
    """Pretrained weights are unavailable or do not match the architecture."""

    exit_code = 4


class TrainingError(EdgetuneError):
    """Training failed or learned nothing."""

    exit_code = 5


class ExportError(EdgetuneError):
    """A model could not be exported, or the exported model failed a check."""

    exit_code = 6


class NotBlessed(EdgetuneError):
    """A gate did not bless the model; nothing was pushed."""

    exit_code = 7


class PushError(EdgetuneError):
    """A blessed model could not be delivered."""

    exit_code = 8


class BundleError(EdgetuneError):
    """An edge bundle or a LiteRT model is incomplete, altered or invalid."""

    exit_code = 9


class SubmitError(EdgetuneError):
    """The platform was unreachable, rejected the request, or the run failed."""

    exit_code = 10


class MachineError(EdgetuneError):
    """A disk of this machine is full, or the output cannot be written."""

    exit_code = 11


class MemoryShortage(EdgetuneError):
    """Memory ran out: of this machine, of its GPU, or within a limit of this process."""

    exit_code = 12


class DatabaseError(EdgetuneError):
    """The database with the records of the runs is damaged, or belongs to another program."""

    exit_code = 13


class AccessError(EdgetuneError):
    """A file or folder may not be read or written by this user."""

    exit_code = 14


class ProcessKilled(EdgetuneError):
    """The process of a run was killed, or a library crashed in native code."""

    exit_code = 15
