"""Runs a server that somebody else wrote, for as long as standard input stays open.

    hold.py COMMAND… with {port} where the port goes

Finds a free port, starts the command in a process group of its own, waits until it takes connections,
prints the port, and kills the group when standard input closes: nothing outlives a test that is killed.
What the command prints goes to standard error.
"""

import os
import signal
import socket
import subprocess
import sys
import time

PATIENCE = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, child):
    """Whether the command takes connections before it ends."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def start(command):
    # Somebody else may take the port in between.
    for _ in range(3):
        port = free_port()
        child = subprocess.Popen([part.replace("{port}", str(port)) for part in command], stdin=subprocess.DEVNULL,
                                 stdout=sys.stderr, start_new_session=True)
        if answers(port, child):
            return port, child
        stop(child)
    sys.exit(f"{command[0]} does not answer")


def stop(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def main():
    port, child = start(sys.argv[1:])
    try:
        print(port, flush=True)
        while sys.stdin.buffer.read(4096):
            pass
    finally:
        stop(child)


if __name__ == "__main__":
    main()
