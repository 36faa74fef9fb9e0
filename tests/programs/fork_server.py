"""Run modules in forks of a process that has imported what they need: importing TensorFlow takes longer than most.

    fork_server.py serve SOCKET MODULE...       import these, then run what clients ask for, until the process is killed
    fork_server.py run SOCKET MODULE ARGUMENT...    be `python -m MODULE ARGUMENT...`, but run in a fork of the server

The fork has the client's folder, environment and standard streams. The client ends as the fork does, with its exit code
or by its signal; if the client is killed, so is the fork. The client is started often, so it imports little. If
`child_process` is one of the modules, a fork starts children that use TensorFlow as forks of the server, too.
"""

import contextlib
import os
import signal
import socket
import sys

_MOST = 1 << 20  # bytes of a request
_STREAMS = 3
_STARTS = "edgetune.modules.core.child_process"
_HEAVY = tuple(f"edgetune.modules.{room}." for room in ("bundle", "conversion", "litert"))


def run(path: str, arguments: list[str]) -> None:
    import json

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(path)
        request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
        socket.send_fds(server, [json.dumps(request).encode() + b"\n"], range(_STREAMS))
        ended = server.recv(16)
    code = int(ended or 1)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(path: str, modules: list[str]) -> None:
    import gc
    import importlib

    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch the forks
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"{path}.part")
        server.listen()
        os.rename(f"{path}.part", path)  # noqa: PTH104 - whoever sees it can connect
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _watch(client, path if _STARTS in modules else None)
            client.close()


def _watch(client: socket.socket, path: str | None) -> None:
    """Fork, tell the client how the fork ended, and kill the fork if the client ends first."""
    import json
    import select

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    content, streams, _, _ = socket.recv_fds(client, _MOST, _STREAMS)
    while not content.endswith(b"\n"):
        if not (more := client.recv(_MOST)):
            os._exit(1)  # the client is gone
        content += more
    child = os.fork()
    if child == 0:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _be(path, **json.loads(content))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([client, ended], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):  # the client is gone
        client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _start_as_forks(server: str) -> None:
    """Replace `child_process.start` in this process: children that use TensorFlow become forks of the same server."""
    import importlib
    import subprocess

    child_process = importlib.import_module(_STARTS)
    plainly = child_process.start

    def start(module: str, *arguments: str, **streams: object) -> object:
        if not module.startswith(_HEAVY):
            return plainly(module, *arguments, **streams)
        command = [sys.executable, "-S", "-E", __file__, "run", server, module, *arguments]
        return subprocess.Popen(command, cwd=child_process.ROOT.parent, env=child_process.environment(), **streams)

    child_process.start = start


def _be(server: str | None, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do as `python -m` with these arguments, and exit."""
    import runpy
    import traceback

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    path = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:] = list(dict.fromkeys([folder, *path, *sys.path[1:]]))
    module, *sys.argv[1:] = arguments
    if server:
        _start_as_forks(server)
    code: object = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - whatever ends it, as the interpreter does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    {"serve": serve, "run": run}[sys.argv[1]](sys.argv[2], sys.argv[3:])
