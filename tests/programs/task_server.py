"""Run modules in forks of a process that has imported what they need: importing TFX takes longer than most tasks.

Usage: task_server.py MODULE...    imports these, then reads tasks from standard input, a line of JSON each:

    {"module": ..., "arguments": [...], "folder": ..., "log": ..., "ended": ...}

The module is run in `folder` as by `python -m module arguments`, with its output in `log`; its exit code is written to
the file `ended`, negative for a signal. The server ends at the end of its input.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that write the exit codes
    for line in sys.stdin:
        if os.fork() == 0:
            _write_exit_code(json.loads(line))


def _write_exit_code(task: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        _run(task)
    _, status = os.waitpid(child, 0)
    part = Path(f"{task['ended']}.part")
    part.write_text(str(os.waitstatus_to_exitcode(status)))
    part.rename(task["ended"])
    os._exit(0)


def _run(task: dict[str, Any]) -> None:
    with open(task["log"], "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(task["folder"])
    sys.path[0] = task["folder"]
    sys.argv[1:] = task["arguments"]
    code: object = 1
    try:
        runpy.run_module(task["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - whatever ends the task, as the interpreter does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
