"""From a fact in the process to an order on the wire to Kite, beside a bare call of Zerodha's own client.

Both sides talk to the same stub on this machine, which says when it held the whole request.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from desk import KEY, REST_S, TOKEN, Desk, Way, serving
from measure import Figure, Sample, Sides, expect

from fsm_trader.ops.clock import pause_s

_ORDERS = 5
# A server that keeps a connection for this long, a wire that uses one sooner, and an idle time that is longer than
# both: Kite's own times are minutes, and so would a round be. The proportions are those of a live session.
_KEPT_S, _WARM_AFTER_S, _IDLE_S = 1.5, 0.5, 3.0
_JUST_S = 0.25
_ANY = 100_000
_ORDER: dict[str, str | int] = {
    "variety": "regular",
    "exchange": "NFO",
    "tradingsymbol": "NIFTY26618C",
    "transaction_type": "BUY",
    "quantity": 65,
    "product": "MIS",
    "order_type": "MARKET",
    "validity": "DAY",
    "tag": "FT2606170K3E017QZ4MC",
    "market_protection": "-1",
}
Leg = Literal["entry", "exit"]


@contextmanager
def order_sides(folder: Path, orders: int = _ORDERS, *, leg: Leg = "entry", commits: bool = False) -> Iterator[Sides]:
    """Prepare a live desk and a bare client; a round is *orders* ways of each, of which the median counts.

    Args:
        folder: for journal and log.
        orders: of a round, on each side.
        leg: the way of the entry after a candle, or of the exit after a tick.
        commits: tell only what the commits on that way take.
    """
    with serving() as server, closing(Desk(folder, server.port)) as trading:
        client = _bare(server.port)
        rounds = [0, 0]

        def ours() -> Sample:
            rounds[0] += 1
            ways = [_both(trading)[leg] for _ in range(orders)]
            return Sample(statistics.median(way.commits_s if commits else way.taken_s for way in ways))

        def reference() -> Sample:
            rounds[1] += 1
            return Sample(statistics.median(_rested(lambda: client.place_order(**_ORDER)) for _ in range(orders)))

        def check() -> None:
            expected = orders * (2 * rounds[0] + rounds[1])
            seen = trading.seen().orders
            expect(seen == expected, f"orders at the stub: {seen}; expected {expected}")

        yield Sides(ours, reference, check)


def _both(trading: Desk) -> dict[Leg, Way]:
    return {"entry": trading.buy(), "exit": trading.stop()}


def _bare(port: int) -> Any:
    from kiteconnect import KiteConnect

    client = KiteConnect(KEY, root=f"http://127.0.0.1:{port}")
    client.set_access_token(TOKEN)
    return client


def _rested(place: Callable[[], object]) -> float:
    pause_s(REST_S)
    began = time.perf_counter()
    place()
    return time.perf_counter() - began


@contextmanager
def idle_sides(
    folder: Path, idle_s: float = _IDLE_S, kept_s: float = _KEPT_S, warm_after_s: float = _WARM_AFTER_S
) -> Iterator[Sides]:
    """Prepare a live desk over TLS: its first order after an idle time, and one on a connection that was just used."""
    trust = _certificate(folder)
    with (
        serving(str(folder / "both.pem"), str(kept_s)) as server,
        closing(Desk(folder, server.port, trust=trust, warm_after=timedelta(seconds=warm_after_s))) as trading,
    ):
        yield _idle(trading, idle_s)


def _idle(trading: Desk, idle_s: float) -> Sides:
    placed: list[str] = []

    def place() -> None:
        placed.append(trading.wire.place({**_ORDER, "tag": "BYHAND"}, is_exit=True))

    def ours() -> Sample:
        trading.idle(idle_s)
        return Sample(_rested(place))

    def reference() -> Sample:
        # Used a moment ago; the processor rests before both.
        trading.idle(_JUST_S)
        return Sample(_rested(place))

    def check() -> None:
        expect(len(placed) == len(set(placed)), "orders with one id; expected each to have arrived")

    return Sides(ours, reference, check)


def _certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate for this machine with its key into ``both.pem``, and return what trusts it."""
    # They come with Kite's client; no other figure needs them.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=dt.UTC))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=public.decode())
    return context


_BARE = "kiteconnect's place_order, the whole call"
FIGURES = (
    Figure(
        name="order",
        title="from a completed candle to the order on the wire",
        against=_BARE,
        unit="us",
        repeats=31,
        sides=order_sides,
        most_ratio=1.2,
    ),
    Figure(
        name="order-commits",
        title="of that way, its commit",
        against=_BARE,
        unit="us",
        repeats=31,
        sides=partial(order_sides, commits=True),
    ),
    Figure(
        name="tick-exit",
        title="from a tick across the stop to the exit on the wire",
        against=_BARE,
        unit="us",
        repeats=31,
        sides=partial(order_sides, leg="exit"),
        most_ratio=1.2,
    ),
    Figure(
        name="exit-commit",
        title="of that way, its commit",
        against=_BARE,
        unit="us",
        repeats=31,
        sides=partial(order_sides, leg="exit", commits=True),
    ),
    Figure(
        name="idle",
        title="the first order after an idle time, TLS",
        against="an order on a connection just used",
        unit="us",
        repeats=21,
        sides=idle_sides,
        most_ratio=1.3,
    ),
)
