"""systemd: a hardened unit for a session, and the datagrams of a service that tells its manager how it is.

What is said over the socket is described in sd_notify(3), the unit in systemd.service(5) and systemd.exec(5).
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from fsm_trader.errors import Fault, SetupError

WATCHDOG_S = 60
CREDENTIALS = "/etc/fsm_trader"
_PLAIN = re.compile(r"[A-Za-z0-9_./@:+,=-]+")
_MOST_BYTES = 4096


class ServiceSocket:
    """The way to the service manager; it leads nowhere where there is none.

    Args:
        environ: where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are looked up.

    Attributes:
        watchdog_s: seconds within which the manager wants a sign of life, None where it wants none.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A path, or with @ a name in Linux's abstract space, which begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # A manager that reads nothing must not hold up a trade.
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environ) if self.is_there else None

    @property
    def is_there(self) -> bool:
        """True when a service manager listens."""
        return self._socket is not None

    def say(self, *lines: str) -> bool:
        """Send lines such as ``READY=1`` in one datagram; False where that failed, which is no reason to stop."""
        if self._socket is None:
            return False
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            self._socket.sendto(text.encode()[:_MOST_BYTES], self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the socket; what is said from here on leads nowhere."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    # More digits than a manager would ever say are no time at all.
    if not (usec.isascii() and usec.isdigit()) or len(usec) > _MOST_DIGITS or int(usec) == 0:
        return None
    # Inherited from a service that started this process: its watchdog is not about us.
    return None if pid not in ("", str(os.getpid())) else int(usec) / 1_000_000


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What a systemd unit for a session is made of.

    Args:
        session_file: absolute path.
        name: the unit's name, without ``.service``.
        python: absolute path of the interpreter.
        user: whom it runs as; never root.
        written: absolute folders that are written to, and nothing else is.
        secrets: names whose values are loaded as credentials.
        stop_timeout_s: how long a stop may take until it is ended the hard way.
    """

    session_file: Path
    name: str
    python: Path
    user: str
    written: tuple[Path, ...]
    secrets: tuple[str, ...]
    stop_timeout_s: int

    def text(self) -> str:
        """Write the unit.

        Raises:
            SetupError: something cannot stand in a unit file; every such thing is named.
        """
        _refuse((str(self.session_file), str(self.python), self.user, *map(str, self.written)), self.user)
        return _UNIT.format(
            name=self.name,
            user=self.user,
            session=self.session_file,
            folder=self.session_file.parent,
            python=self.python,
            folders=" ".join(str(folder) for folder in self.written),
            credentials="".join(f"LoadCredential={secret}:{CREDENTIALS}/{secret}\n" for secret in self.secrets),
            watchdog_s=WATCHDOG_S,
            stop_s=self.stop_timeout_s,
        )


def _refuse(texts: Sequence[str], user: str) -> None:
    faults = [
        Fault(text, "", "holds a character with a meaning of its own in a unit; expected letters, digits and _./@:+,=-")
        for text in dict.fromkeys(texts)
        if not _PLAIN.fullmatch(text)
    ]
    if user in ("root", "0"):
        faults.append(Fault("--user", "", f"was {user}; expected a user without power over the machine"))
    if faults:
        raise SetupError(faults)


# Exit codes: 2 the files are wrong, 4 another process runs this session, 5 a person must log in, 6 the journal is
# damaged: starting again changes none of these. 3 is a stop with a position open: in order when the manager asked for
# it, and otherwise a reason to start again.
_MOST_DIGITS = 18
_UNIT = """\
# {name}.service: the session of {session}
#   useradd --system --no-create-home --shell /usr/sbin/nologin {user}
#   install -d -o {user} -g {user} -m 0750 {folders}
#   save this as /etc/systemd/system/{name}.service
#   systemctl daemon-reload && systemctl start {name}
[Unit]
Description=fsm_trader {session}
Documentation=man:systemd.service(5)
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={python} -m fsm_trader run {session} --quiet
WorkingDirectory={folder}
Environment=PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
User={user}
Group={user}
UMask=0027
{credentials}
# A sign of life is given only while candles, broker and journal are fresh. Without one the process is killed and
# started again, and goes on with the open trade.
WatchdogSec={watchdog_s}
TimeoutStartSec=90
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 4 5 6
RestartForceExitStatus=3
SuccessExitStatus=3
KillSignal=SIGTERM
TimeoutStopSec={stop_s}
OOMScoreAdjust=-500

# It may write to the folders of its journal, its paper book and its log, and to nothing else.
ProtectSystem=strict
ReadWritePaths={folders}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LimitCORE=0
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
