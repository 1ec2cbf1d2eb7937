"""``journal list|verify|export``: what happened, read from the journal; it never writes to it."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TextIO

from fsm_trader.app.report import verify
from fsm_trader.cli.reading import settings_to_read_with
from fsm_trader.cli.steady import Steady
from fsm_trader.core.settings import Settings
from fsm_trader.core.summary import summarise
from fsm_trader.errors import SetupError
from fsm_trader.journal.chain import Row
from fsm_trader.journal.read import JournalReader, entry_of
from fsm_trader.journal.store import file_of


def call(options: argparse.Namespace) -> int:
    """List, verify or export."""
    settings = settings_to_read_with(options.file)
    asks = {"list": _list, "verify": _verify, "export": _export}
    return asks[options.ask](settings, options)


def _list(settings: Settings, options: argparse.Namespace) -> int:
    with JournalReader(settings.journal_url) as reader:
        rows: Iterable[Row] = (
            row
            for row in reader.rows(trade_id=options.trade, session=options.session)
            if options.kind is None or row.kind == options.kind
        )
        if options.last > 0:
            rows = deque(rows, maxlen=options.last)
        if options.json:
            print(json.dumps([_plain(row) for row in rows], indent=2))
            return 0
        for row in rows:
            if not _is_heard(sys.stdout):
                break
            entry = entry_of(row)
            print(f"{row.seq:>7}  {entry.at:%Y-%m-%d %H:%M:%S}  {row.trade_id or '-':<13}{summarise(entry.record)}")
    return 0


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    found = verify(settings)
    if options.json:
        answer = {
            "ok": found.fault is None,
            "rows": found.rows,
            "head": found.head,
            "fault": found.fault,
            "note": found.note,
        }
        print(json.dumps(answer, indent=2))
    elif found.fault is None:
        print(f"{found.rows} rows, every hash fits; head {found.head}")
        if found.note:
            print(f"note: {found.note}")
    else:
        good = f"{found.rows} rows before it are good" if found.bad_seq else f"the hashes of its {found.rows} rows fit"
        print(f"journal does not verify: {found.fault}. {good}.", file=sys.stderr)
    return 0 if found.fault is None else 6


def _export(settings: Settings, options: argparse.Namespace) -> int:
    with JournalReader(settings.journal_url) as reader:
        if options.out is None:
            _write(reader.rows(), sys.stdout)
            return 0
        _refuse_own_files(settings, options)
        # Beside its place first: an export that breaks off leaves what stood there before.
        draft = options.out.with_name(options.out.name + ".part")
        try:
            with draft.open("w", encoding="utf-8") as file:
                count = _write(reader.rows(), file)
            draft.replace(options.out)
        except BaseException as error:
            draft.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise SetupError.at(str(options.out), f"cannot be written: {error.strerror}; expected a file") from error
    print(f"{count} rows: {options.out}")
    return 0


def _refuse_own_files(settings: Settings, options: argparse.Namespace) -> None:
    """Refuse to write over a file the session lives on, by whatever name it is reached."""
    own = [file_of(settings.journal_url), settings.broker.paper.book, options.file, settings.log.file]
    out = options.out.resolve()
    for file in own:
        # Beside the journal and the book stand their logs, locks and anchor, named after them.
        if file is not None and out.parent == file.resolve().parent and out.name.startswith(file.resolve().name):
            raise SetupError.at(
                str(options.out), "is a file this session lives on; expected another name for the export"
            )
    if options.out.is_symlink() or (options.out.exists() and not options.out.is_file()):
        raise SetupError.at(str(options.out), "is no plain file; expected a name for a new one, or a file to replace")
    if out.suffix in (".yaml", ".yml", ".py"):
        raise SetupError.at(str(options.out), "is named like a file that people write; expected another name")


def _write(rows: Iterator[Row], out: TextIO) -> int:
    count = 0
    knows_all = (out.encoding or "").lower().startswith("utf")
    for row in rows:
        if not _is_heard(out):
            break
        out.write(json.dumps(_plain(row), ensure_ascii=not knows_all) + "\n")
        count += 1
    return count


def _is_heard(out: object) -> bool:
    """Tell whether somebody still reads *out*: a long journal is not read to its end for nobody."""
    return not (isinstance(out, Steady) and out.is_gone)


def _plain(row: Row) -> dict[str, object]:
    return {
        "seq": row.seq,
        "at": row.at,
        "session": row.session,
        "trade_id": row.trade_id,
        "kind": row.kind,
        "body": json.loads(row.body),
        "hash": row.hash,
    }
