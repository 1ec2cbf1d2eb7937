"""Tables of candles in files (.csv, .csv.gz, .parquet), and the one door to pyarrow.

What refuses a file is its structure: unreadable, empty, a column missing, a line with the wrong number of fields.
What is wrong with single rows is theirs: they are skipped, and each reason is counted for the journal. Knows nothing of
sessions, days or contracts beyond the columns it is asked for.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.errors import Fault, SetupError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
CANDLE_COLUMNS = ("ts", "open", "high", "low", "close")
_MOST_FAULTS = 20


class Table(msgspec.Struct, frozen=True):
    """A file's columns as plain lists, all of one length: texts from CSV, numbers, dates and texts from Parquet.

    Args:
        where: name of the file for messages.
        columns: values by column name; ``ts`` of a Parquet file holds aware datetimes or naive ones.
        first_row: number of the first row in messages: 2 in CSV (line 1 is the header), 1 in Parquet.
        skipped: reasons for lines that were left out while reading.
    """

    where: str
    columns: dict[str, list[Any]]
    first_row: int
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str) -> list[Any] | None:
        """Return the values of a column, None when the file has no such column."""
        return self.columns.get(name)


def read_table(path: Path, *, required: Sequence[str]) -> Table:
    """Read a whole table.

    Raises:
        SetupError: the file is missing, unreadable, empty or of no known kind, lacks a *required* column, or has lines
            of the wrong length. Every fault of the file is listed (the first 20).
    """
    if not path.is_file():
        raise SetupError.at(str(path), "there is no such file; expected a table of candles")
    if path.name.endswith(".parquet"):
        table = _read_parquet(path)
    elif path.name.endswith((".csv", ".csv.gz")):
        table = _read_csv(path)
    else:
        raise SetupError.at(str(path), f"file of an unknown kind; expected one of {', '.join(SUFFIXES)}")
    missing = [name for name in required if name not in table.columns]
    faults = [Fault(str(path), "", f"no column {name!r}; found {', '.join(table.columns)}") for name in missing]
    if not faults and not len(table):
        faults = [Fault(str(path), "", "the table has no rows; expected at least one")]
    if faults:
        raise SetupError(faults)
    return table


def csv_lines(path: Path) -> list[str]:
    """Read the lines of a plain or gzipped text file, line ends kept.

    Raises:
        SetupError: the file cannot be opened, unpacked or decoded as UTF-8.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SetupError.at(str(path), f"cannot be read ({error}); expected complete UTF-8 text") from error
    # Not splitlines(): it also breaks at characters that are no line ends in a CSV file.
    return list(io.StringIO(text, newline=""))


def moment(seen: object, zone: ZoneInfo) -> datetime | None:
    """Turn a cell of a ``ts`` column into an aware time in *zone*, None when it cannot be read.

    A time without an offset is taken as local to *zone*.
    """
    if isinstance(seen, str):
        try:
            seen = datetime.fromisoformat(seen)
        except ValueError:
            return None
    if not isinstance(seen, datetime):
        return None
    return seen.replace(tzinfo=zone) if seen.tzinfo is None else seen.astimezone(zone)


def _read_csv(path: Path) -> Table:
    lines = csv_lines(path)
    while lines and not lines[-1].strip():
        del lines[-1]
    if not lines:
        raise SetupError.at(str(path), "the file is empty; expected a header line and rows")
    skipped: tuple[str, ...] = ()
    if len(lines) > 1 and not lines[-1].endswith(("\n", "\r")):
        # A recorder that was stopped leaves half a line, and a cut number can look like a whole one.
        skipped = (f"{path.name}:{len(lines)}: last line has no line end, taken as half-written; skipped",)
        del lines[-1]
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise SetupError.at(str(path), f"is not CSV ({error}); expected comma separated values") from error
    header = [name.strip() for name in rows[0]]
    faults = _header_faults(path, header) + _width_faults(path, rows, len(header))
    if faults:
        raise SetupError(faults)
    columns = list(zip(*rows[1:], strict=True)) or [()] * len(header)
    return Table(path.name, {name: list(column) for name, column in zip(header, columns, strict=True)}, 2, skipped)


def _header_faults(path: Path, header: list[str]) -> list[Fault]:
    return [
        Fault(str(path), "", f"column {name!r} stands more than once; expected once")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]


def _width_faults(path: Path, rows: list[list[str]], width: int) -> list[Fault]:
    wrong = [(number, len(row)) for number, row in enumerate(rows, start=1) if len(row) != width]
    faults = [
        Fault(f"{path}:{number}", "", f"{seen} fields; expected {width} as in the header")
        for number, seen in wrong[:_MOST_FAULTS]
    ]
    more = len(wrong) - _MOST_FAULTS
    return faults if more <= 0 else [*faults, Fault(str(path), "", f"and {more} more lines of the wrong length")]


def _read_parquet(path: Path) -> Table:
    # Imported here: pyarrow takes a third of a second to load and most runs read CSV only.
    import pyarrow as pa  # noqa: PLC0415 - lazy on purpose, see above
    import pyarrow.parquet as pq  # noqa: PLC0415 - lazy on purpose, see above

    try:
        with pq.ParquetFile(path) as file:  # unlike read_table, it makes no columns of folder names
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise SetupError.at(str(path), f"cannot be read ({error}); expected a complete Parquet file") from error
    faults = _header_faults(path, table.column_names)
    if faults:
        raise SetupError(faults)
    # Columns of lists or records can hold nothing we ask for; left out, they count as missing.
    flat = [name for name in table.column_names if not pa.types.is_nested(table.column(name).type)]
    return Table(path.name, {name: _values(table.column(name)) for name in flat}, 1)


def _values(column: Any) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - lazy on purpose: see _read_parquet

    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    # Whole microseconds since 1970 convert many times faster than Arrow's own zoned datetimes.
    counts = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64()).to_pylist()
    start = datetime(1970, 1, 1, tzinfo=UTC if column.type.tz else None)
    known: dict[int | None, datetime | None] = {None: None}
    for count in counts:
        if count not in known:
            known[count] = start + timedelta(microseconds=count)
    return [known[count] for count in counts]
