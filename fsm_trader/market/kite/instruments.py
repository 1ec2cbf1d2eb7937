"""The day's instrument dump: fetched once, checked, kept on disk for its owner alone, and never another day's unsaid.

Kite makes the dump once a day, at about 08:30 (kite.trade/docs/connect/v3/market-quotes): what is fetched earlier is
yesterday's. Where today's cannot be had, the newest kept one serves what is held and a note says so; nothing is to be
bought by it: a lot may have changed since, and what was listed since is missing.
"""

from __future__ import annotations

import gzip
import logging
import os
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.contracts import OptionContract
from fsm_trader.errors import UnavailableError
from fsm_trader.market.kite.dump import DumpLimits, Listing, read_dump
from fsm_trader.market.kite.protocol import MarketWire

MADE_AT = time(8, 30)
_OLDEST = timedelta(days=5)  # a Friday's dump on the Tuesday after a long weekend, and no older
_KEPT_FILES = 5
_STAMP = "%Y%m%dT%H%M%S"
_MOST_BYTES = 64 * 2**20
_LOG = logging.getLogger(__name__)


class Known(msgspec.Struct, frozen=True):
    """Contracts of a day; *note* says why they may not be today's: then they are for what is held, not for buying."""

    contracts: tuple[OptionContract, ...]
    fetched_at: datetime
    note: str = ""


class InstrumentStore:
    """Gives the options of a day. Safe to call from several threads.

    Args:
        wire: fetches the dump.
        folder: where dumps are kept; made for its owner alone when it is not there.
        clock_now: the session's present.
        zone: the exchange's.
        exchange: whose dump, ``NFO``.
        limits: below what a dump is refused.
    """

    def __init__(
        self,
        wire: MarketWire,
        *,
        folder: Path,
        clock_now: Callable[[], datetime],
        zone: ZoneInfo,
        exchange: str = "NFO",
        limits: DumpLimits | None = None,
    ) -> None:
        self._wire = wire
        self._folder = folder
        self._clock_now = clock_now
        self._zone = zone
        self._exchange = exchange
        self._limits = limits or DumpLimits()
        self._lock = threading.Lock()
        self._known: dict[tuple[str, date], Known] = {}

    def contracts(self, name: str, day: date) -> Known:
        """Return the options on *name* that have not expired on *day*; those with a note are not to be bought.

        A kept dump of the day is used again; one that was fetched before it was made is fetched anew.

        Raises:
            UnavailableError: neither today's dump nor a kept one can be used; LoginRequiredError among them.
        """
        with self._lock:
            known = self._known.get((name, day))
            if known is not None and not known.note:
                return known
            known = self._kept_today(name, day) or self._fetched(name, day)
            self._known = {(name, day): known}
            if known.note:
                _LOG.warning("instruments: %s", known.note)
            return known

    def _kept_today(self, name: str, day: date) -> Known | None:
        for path, fetched_at in self._files():
            if fetched_at.date() == day and fetched_at.time() >= MADE_AT:
                with suppress(UnavailableError):  # A damaged file is as good as none: the dump is fetched again.
                    listing = self._read(path, name, day)
                    if not listing.doubt:
                        return Known(listing.contracts, fetched_at)
        return None

    def _fetched(self, name: str, day: date) -> Known:
        now = self._clock_now().astimezone(self._zone)
        try:
            data = self._wire.instruments(self._exchange)
            where = f"instrument dump {self._exchange} of {now:%Y-%m-%d %H:%M}"
            listing = read_dump(data, name, where=where, day=day, limits=self._limits)
            self._refuse_halves(listing, name, day)
        except UnavailableError as error:
            kept = self._kept_earlier(name, day, str(error))
            if kept is None:
                raise
            return kept
        self._keep(data, now)
        notes = [listing.doubt] if listing.doubt else []
        if now.date() != day or now.time() < MADE_AT:
            notes.append(f"was fetched at {now:%Y-%m-%d %H:%M}, before Kite makes the dump of {day} ({MADE_AT:%H:%M})")
        return Known(listing.contracts, now, f"the dump {'; '.join(notes)}" if notes else "")

    def _refuse_halves(self, listing: Listing, name: str, day: date) -> None:
        """Refuse a dump with less than half of the rows, or of our contracts, of the one before it."""
        for path, _ in self._files():
            try:
                before = self._read(path, name, day)
            except UnavailableError:
                continue  # A kept dump that does not read proves nothing about the new one.
            pairs = (("rows", listing.rows, before.rows), (name, len(listing.contracts), len(before.contracts)))
            for what, seen, earlier in pairs:
                if 2 * seen < earlier:
                    raise UnavailableError(
                        f"instrument dump: {seen} {what}; expected at least half of the {earlier} in {path.name}; "
                        "the dump is not used"
                    )
            return

    def _kept_earlier(self, name: str, day: date, why: str) -> Known | None:
        for path, fetched_at in self._files():
            if timedelta(0) <= day - fetched_at.date() <= _OLDEST:
                with suppress(UnavailableError):  # The next older one is tried.
                    listing = self._read(path, name, day)
                    note = f"the dump of {fetched_at:%Y-%m-%d %H:%M} is used for {day}: today's cannot be had ({why})"
                    return Known(listing.contracts, fetched_at, note)
        return None

    def _read(self, path: Path, name: str, day: date) -> Listing:
        try:
            data = gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            _LOG.warning("instruments: %s cannot be read (%s)", path, error)
            raise UnavailableError(f"{path}: cannot be read ({error}); it is not used") from error
        return read_dump(data, name, where=str(path), day=day, limits=self._limits)

    def _files(self) -> list[tuple[Path, datetime]]:
        """Return the kept dumps and when they were fetched, newest first."""
        found: list[tuple[Path, datetime]] = []
        for path in self._folder.glob(f"{self._exchange}-*.csv.gz"):
            stamp = path.name.removeprefix(f"{self._exchange}-").removesuffix(".csv.gz")
            with suppress(ValueError):  # Another file of a like name is not ours.
                found.append((path, datetime.strptime(stamp, _STAMP).replace(tzinfo=self._zone)))
        return sorted(found, key=lambda each: each[1], reverse=True)

    def _keep(self, data: bytes, now: datetime) -> None:
        """Write a checked dump whole or not at all. What cannot be kept is still used today."""
        path = self._folder / f"{self._exchange}-{now:{_STAMP}}.csv.gz"
        part = path.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(gzip.compress(data, compresslevel=6, mtime=0))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            for old, _ in self._files()[_KEPT_FILES:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            with suppress(OSError):  # On a full disk the half of it would lie there, and take what room there was.
                part.unlink()
            _LOG.warning("instruments: %s cannot be kept (%s); the next start fetches the dump again", path, error)
