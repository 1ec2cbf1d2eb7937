"""Where the files of recorded days are (docs/reference/recorded-days.md), and which day is meant. Reads no prices."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.settings import MarketSettings
from fsm_trader.errors import SetupError
from fsm_trader.market.tables import CANDLE_COLUMNS, SUFFIXES, Table, moment, read_table

_INSTRUMENTS = (".csv", ".csv.gz")
_WHERE = "market.recorded"


class DayFiles(msgspec.Struct, frozen=True):
    """The files of one recorded day.

    Args:
        day: the day to play.
        place: folder or file they were found at, for messages.
        index: candles of the index, read already where that was needed to find the day.
        options, instruments: None where there is none.
        one_day: True when the index table should hold this day only.
    """

    day: date
    place: Path
    index: Table
    options: Path | None
    instruments: Path | None
    one_day: bool


def days(settings: MarketSettings, *, zone: ZoneInfo) -> tuple[date, ...]:
    """Return the recorded days there are, in order: of day folders by their names, of a single file by its rows.

    Raises:
        SetupError: there is no recorded day at that place, or a file that has to be read for it is unusable.
    """
    place = _place(settings)
    folders = _day_folders(place)
    if folders:
        return tuple(sorted(folders))
    return _days_in(read_table(_index_of(place), required=CANDLE_COLUMNS), zone)


def locate(settings: MarketSettings, *, zone: ZoneInfo) -> DayFiles:
    """Find the files of the day in ``market.day``, or of the first day there is.

    Raises:
        SetupError: the place, the day or one of the files is missing, or stands there twice.
    """
    place = _place(settings)
    folders = _day_folders(place)
    if folders:
        day = _chosen(settings.day, sorted(folders), place)
        return _files_of(folders[day], day)
    index = read_table(_index_of(place), required=CANDLE_COLUMNS)
    day = _chosen(settings.day, _days_in(index, zone), place)
    if place.is_dir():
        return msgspec.structs.replace(_files_of(place, day, index), one_day=False)
    return DayFiles(day, place, index, None, None, one_day=False)


def _place(settings: MarketSettings) -> Path:
    if settings.recorded is None:
        raise SetupError.at(_WHERE, "is null; expected sample, a folder or a file of recorded days")
    if settings.recorded == "sample":
        return Path(str(files("fsm_trader.market"))) / "data" / "sample"
    if not settings.recorded.exists():
        raise SetupError.at(_WHERE, f"{settings.recorded} does not exist; expected a folder or file of recorded days")
    return settings.recorded


def _day_folders(place: Path) -> dict[date, Path]:
    if not place.is_dir():
        return {}
    if _candidates(place, "index", SUFFIXES):
        return _named_day(place)
    found: dict[date, Path] = {}
    for child in place.iterdir():
        if child.is_dir():
            found |= _named_day(child)
    return found


def _named_day(folder: Path) -> dict[date, Path]:
    try:
        return {date.fromisoformat(folder.name): folder} if len(folder.name) == 10 else {}
    except ValueError:
        return {}


def _candidates(folder: Path, stem: str, suffixes: Iterable[str]) -> list[Path]:
    return [folder / (stem + suffix) for suffix in suffixes if (folder / (stem + suffix)).is_file()]


def _one_of(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    found = _candidates(folder, stem, suffixes)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise SetupError.at(str(folder), f"holds {names}; expected only one of them: which is meant cannot be told")
    return found[0] if found else None


def _index_of(place: Path) -> Path:
    index = _one_of(place, "index", SUFFIXES) if place.is_dir() else place
    if index is None:
        seen = ", ".join(sorted(child.name for child in place.iterdir())[:5]) or "nothing"
        raise SetupError.at(
            str(place), f"no index file, found {seen}; expected index{'|'.join(SUFFIXES)}, or day folders YYYY-MM-DD"
        )
    return index


def _files_of(folder: Path, day: date, index: Table | None = None) -> DayFiles:
    return DayFiles(
        day=day,
        place=folder,
        index=index or read_table(_index_of(folder), required=CANDLE_COLUMNS),
        options=_one_of(folder, "options", SUFFIXES),
        instruments=_one_of(folder, "instruments", _INSTRUMENTS),
        one_day=True,
    )


def _days_in(table: Table, zone: ZoneInfo) -> tuple[date, ...]:
    stamps = {moment(seen, zone) for seen in set(table.columns["ts"])}
    found = {stamp.date() for stamp in stamps if stamp is not None}
    if not found:
        raise SetupError.at(table.where, "no time in column ts can be read; expected such as 2026-06-17T09:15:00+05:30")
    return tuple(sorted(found))


def _chosen(wanted: str | None, there: Iterable[date], place: Path) -> date:
    listed = list(there)
    if wanted is None:
        return listed[0]
    names = [day.isoformat() for day in listed]
    if wanted in names:
        return listed[names.index(wanted)]
    place_of = bisect_left(names, wanted)  # ISO dates sort as texts
    near = names[max(0, place_of - 2) : place_of + 2]
    raise SetupError.at(
        "market.day", f"no day {wanted!r} in {place}; expected one of {len(names)} days, such as {', '.join(near)}"
    )
