"""Durable steps of DBOS, in a process of their own: its threads and its imports would burden every other figure.

    python benchmarks/dbos_steps.py FOLDER STEPS JOURNAL_MODE

The first line read is a payload, answered by ``ready``. Each one after it runs a workflow that calls STEPS steps, which
do nothing and return the payload; the answer is how many seconds the steps took. The end of the input ends the process,
after one more line: how many results of steps the file holds, and its journal mode. Run by ``durable`` only.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path


def main(folder: Path, steps: int, journal_mode: str) -> None:
    # What DBOS prints must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from dbos import DBOS

    file = folder / "dbos.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
    DBOS(
        config={
            "name": "figures",
            "system_database_url": f"sqlite:///{file}",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    payload = sys.stdin.readline().strip()

    @DBOS.step()
    def step(_number: int) -> str:
        return payload

    @DBOS.workflow()
    def workflow() -> float:
        started = time.perf_counter()
        for number in range(steps):
            step(number)
        return time.perf_counter() - started

    DBOS.launch()
    logging.disable(logging.CRITICAL)
    print("ready", file=answers)
    for _ in sys.stdin:
        print(workflow(), file=answers)
    DBOS.destroy()
    with closing(sqlite3.connect(file)) as connection:
        (done,) = connection.execute("SELECT count(*) FROM operation_outputs WHERE output IS NOT NULL").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    print(done, mode, file=answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
