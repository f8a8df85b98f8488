"""Run a command that does not outlive the process that started it, not even after `kill -9`.

    python -m comet.guard PARENT_PID COMMAND ARGUMENT…

On Linux the kernel does it: this process asks for SIGKILL at its parent's death and becomes the command. On other
systems it runs the command as a child and watches standard input, a pipe from the parent that ends with the parent.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
POLL_INTERVAL = 0.2  # seconds between two looks at the command


def guarded(*command: str) -> list[str]:
    """Return the command line that runs `command` until this process ends, at the longest."""
    return [sys.executable, "-m", "comet.guard", str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Become the command, which is killed when the parent dies; Linux only."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the request above
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


def watch(command: list[str]) -> int:
    """Run the command as a child until it ends, or SIGTERM or the end of standard input ends it; return its code."""
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:  # noqa: S603  # a command of our parent
        while child.poll() is None:
            if asked_to_end:
                child.terminate()
            if select.select([sys.stdin], [], [], POLL_INTERVAL)[0]:
                child.kill()
        return child.wait()


def main() -> None:
    """Run the command that the arguments name."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        become(parent, command)
    sys.exit(watch(command))


if __name__ == "__main__":
    main()
