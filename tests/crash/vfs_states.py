"""What a power cut may leave: from recorded operations to the files that a next start may find.

A flush makes the content of a file safe; the flush of a folder, or the first one of a new log, makes names safe.
Everything since is at the disk's mercy.
"""

from __future__ import annotations

import hashlib
import random  # noqa: TID251 - every draw is seeded with the state it is for
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .vfs import Op

_SECTOR = 512
# What becomes of that which was not flushed: nothing of it is there, all, what came first, any of it, any sectors of
# it, or the sizes of the files alone, filled up with zeros.
FATES = ("lost", "kept", "prefix", "some", "torn", "sized")


class State(NamedTuple):
    """The files after a power cut, and what had been promised by then."""

    after: int
    fate: str
    files: dict[str, bytes]
    acked: tuple[str, ...]

    def lay_out(self, folder: Path) -> None:
        """Write the files."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {len(content)}" for name, content in sorted(self.files.items()))
        return f"power cut after operation {self.after}, what was not flushed {self.fate}: {sizes}"


class _File:
    def __init__(self) -> None:
        self.safe = bytearray()
        self.pending: list[Op] = []


class _Disk:
    def __init__(self) -> None:
        self.files: dict[int, _File] = {}
        self.names: dict[str, int] = {}
        self.pending: list[Op] = []

    def take(self, op: Op) -> None:
        match op.what:
            case "there":
                self.files[op.file] = _File()
                self.files[op.file].safe = bytearray(op.data)
                self.names[op.name] = op.file
            case "create":
                self.files[op.file] = _File()
                self.pending.append(op)
            case "delete" | "rename":
                self.pending.append(op)
            case "sync folder":
                self.names = _named(self.names, self.pending)
                self.pending = []
            case "sync":
                file = self.files[op.file]
                for each in file.pending:
                    _apply(file.safe, each)
                file.pending = []
            case "failed sync":
                # Linux forgets after a failed flush that there is anything left to write (Rebello et al., ATC 2020).
                self.files[op.file].pending = []
            case "write" | "size":
                self.files[op.file].pending.append(op)

    def left(self, fate: str, draw: random.Random) -> dict[str, bytes]:
        count = {"lost": 0, "kept": len(self.pending)}.get(fate)
        names = _named(self.names, self.pending[: draw.randint(0, len(self.pending)) if count is None else count])
        return {name: _content(self.files[file], fate, draw) for name, file in names.items()}


def states(ops: Sequence[Op], fates: Sequence[str] = FATES, *, seed: int, is_at_end: bool = False) -> Iterator[State]:
    """Yield what a power cut may leave behind after each operation, each state once.

    Args:
        ops: what was recorded.
        fates: which of ``FATES`` are tried after each operation.
        seed: of what is drawn.
        is_at_end: only after the last operation.
    """
    disk, acked = _Disk(), []
    seen: set[bytes] = set()
    for place, op in enumerate(ops):
        if op.what == "acked":
            acked.append(op.name)
        disk.take(op)
        if op.what == "there" or (is_at_end and place + 1 < len(ops)):
            continue
        for fate in fates:
            files = disk.left(fate, random.Random(f"{seed} {place} {fate}"))
            digest = _digest(files, acked)
            if digest not in seen:
                seen.add(digest)
                yield State(place, fate, files, tuple(acked))


def _named(names: dict[str, int], pending: Sequence[Op]) -> dict[str, int]:
    names = dict(names)
    for op in pending:
        if op.what == "create":
            names[op.name] = op.file
        elif op.what == "delete":
            names.pop(op.name, None)
        elif op.name in names:
            names[op.other] = names.pop(op.name)
    return names


def _content(file: _File, fate: str, draw: random.Random) -> bytes:
    pending = file.pending
    if not pending or fate == "lost":
        return bytes(file.safe)
    content = bytearray(file.safe)
    if fate == "prefix":
        pending = pending[: draw.randint(0, len(pending))]
    for op in pending:
        if fate == "some" and draw.random() < 0.5:
            continue
        if fate == "torn" and op.what == "write":
            for piece in _sectors(op):
                if draw.random() < 0.5:
                    _apply(content, piece)
        elif fate == "sized" and op.what == "write":
            content.extend(bytes(max(0, op.at + len(op.data) - len(content))))
        else:
            _apply(content, op)
    return bytes(content)


def _sectors(op: Op) -> Iterator[Op]:
    at, end = op.at, op.at + len(op.data)
    while at < end:
        until = min(end, (at // _SECTOR + 1) * _SECTOR)
        yield Op("write", op.file, at, op.data[at - op.at : until - op.at])
        at = until


def _apply(content: bytearray, op: Op) -> None:
    if op.what == "size":
        del content[op.at :]
        content.extend(bytes(op.at - len(content)))
        return
    content.extend(bytes(max(0, op.at - len(content))))
    content[op.at : op.at + len(op.data)] = op.data


def _digest(files: dict[str, bytes], acked: Sequence[str]) -> bytes:
    hashed = hashlib.sha256("\n".join(acked).encode())
    for name, content in sorted(files.items()):
        hashed.update(f"{name} {len(content)} ".encode() + content)
    return hashed.digest()
