"""Beam's pool of Python workers, on the loopback address only; Beam's own program listens on every address.

    python tests/engine/worker_pool.py PORT

A cluster requests workers from it; each is a process `python`, found on PATH, with this process's environment.
"""

from __future__ import annotations

import signal
import sys

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor


def main(port: int) -> None:
    """Serve until a signal ends the process."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    server.add_insecure_port(f"127.0.0.1:{port}")
    pool = BeamFnExternalWorkerPoolServicer(use_process=True)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.start()
    print(f"worker pool on 127.0.0.1:{port}", flush=True)
    signal.sigwait(signals)
    server.stop(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
