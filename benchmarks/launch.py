"""Runs one command and prints its wall time in nanoseconds, its peak memory and its exit code.

    python -I -S benchmarks/launch.py OUTPUT COMMAND [ARGUMENT ...]

It is a process of its own because a child's peak memory counts from its parent's: Linux keeps the peak of the memory
that was there before the exec. Started from here, where next to nothing is imported, a bare interpreter shows its own.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    output, *command = sys.argv[1:]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    started = time.perf_counter_ns()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, used = os.wait4(child, 0)
    taken = time.perf_counter_ns() - started
    # Linux counts kilobytes, macOS bytes.
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(taken, peak, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
