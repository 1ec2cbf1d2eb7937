"""Makes a golden journal from one on disk, with the version that wrote it: see the README beside this file.

    python tests/replay/make_golden.py JOURNAL FOLDER NAME

writes FOLDER/NAME.jsonl.gz, the rows as ``journal export`` prints them, and FOLDER/NAME.json, what they come to.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from fsm_trader.journal.read import JournalReader

sys.path.insert(0, str(Path(__file__).parent))

# After the line above: this is a program of its own, and what it imports lies beside it.
from outcome import outcome_of


def main(journal: str, folder: str, name: str) -> None:
    with JournalReader(f"sqlite:///{journal}") as reader:
        found = reader.verify()
        if found.fault is not None:
            sys.exit(f"{journal}: {found.fault}; expected a journal that verifies")
        lines = [
            json.dumps(
                {
                    "seq": row.seq,
                    "at": row.at,
                    "session": row.session,
                    "trade_id": row.trade_id,
                    "kind": row.kind,
                    "body": json.loads(row.body),
                    "hash": row.hash,
                },
                ensure_ascii=False,
            )
            for row in reader.rows()
        ]
        outcome = {"head": found.head, **outcome_of(reader.entries())}
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    # Without a time of its own, so that the same journal always gives the same file.
    (place / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (place / f"{name}.json").write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
