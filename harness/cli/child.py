"""A run as the child of a comparison: `python -m harness.cli.child run ...`.

It is `python -m harness` that stops, with a checkpoint, when its parent is gone: even a parent
that was killed outright closes the pipe which is this process's standard input.
"""

import os
import signal
import threading


def stop_when_closed(handle: int) -> threading.Thread:
    """Send this process SIGTERM once the other end of a pipe is closed; returns at once."""

    def watch() -> None:
        while os.read(handle, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch, name="parent watch", daemon=True)
    watcher.start()
    return watcher


if __name__ == "__main__":
    from harness.cli.main import main

    stop_when_closed(0)
    main()
