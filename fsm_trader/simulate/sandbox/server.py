"""HTTP and websocket on one loopback port: the one door to ``aiohttp``.

It carries requests to the service and does to the connection what the service says. It must not know Kite's calls.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.simulate.sandbox import order_rows
from fsm_trader.simulate.sandbox.account import API_SECRET, WRONG_TOKEN
from fsm_trader.simulate.sandbox.calls import Answer, Call
from fsm_trader.simulate.sandbox.exchange import Change
from fsm_trader.simulate.sandbox.forms import KiteError
from fsm_trader.simulate.sandbox.packets import STILL_HERE
from fsm_trader.simulate.sandbox.service import Served, Service
from fsm_trader.simulate.sandbox.stream import Subscriber

_LEAST_STEP_S, _MOST_STEP_S = 0.005, 0.25
_STEP_OF_DAY_S = 0.25
_QUIET_OF_DAY_S = 1.0
_MOST_MESSAGE = 100_000
_CLOSING_S = 1.0
_LOG = logging.getLogger(__name__)


class Server:
    """Serves one sandbox until it is told to stop; made and used inside a running event loop.

    Args:
        service: what answers.
        host: a loopback address.
        port: 0 lets the system choose.

    Raises:
        SetupError: *host* is not of this machine alone.
    """

    def __init__(self, service: Service, *, host: str = "127.0.0.1", port: int = 0) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise SetupError.at("--host", f"was {host}; expected a loopback address such as 127.0.0.1")
        self._service = service
        self._host = host
        self._port = port
        self._step_s = min(max(_STEP_OF_DAY_S / service.kite.clock.speed, _LEAST_STEP_S), _MOST_STEP_S)
        self._closing = asyncio.Event()
        self._subscribers: set[Subscriber] = set()
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_CLOSING_S)
        service.kite.exchange.listen(self._tell)

    @property
    def address(self) -> str:
        """``host:port`` it listens at, once it was started."""
        host, port = self._runner.addresses[0][:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """Serve until *stop* is set.

        Args:
            stop: ends it.
            ready: told the address once requests are taken.

        Raises:
            SetupError: the address cannot be listened at.
        """
        await self._runner.setup()
        try:
            await self._listen()
            ready(self.address)
            market = asyncio.ensure_future(self._market())
            try:
                await stop.wait()
            finally:
                self._closing.set()
                await market
        finally:
            await self._runner.cleanup()

    async def _listen(self) -> None:
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise SetupError.at(
                f"{self._host}:{self._port}", f"cannot be listened at ({error.strerror}); expected a free port"
            ) from error

    async def _market(self) -> None:
        while not self._closing.is_set():
            try:
                self._service.tick()
            except UnavailableError as error:
                _LOG.warning("%s", error)
            await self._wait(self._step_s)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request)
        body = await request.read()
        served = self._service.serve(
            Call(
                method=request.method,
                path=request.path,
                query=tuple(request.query.items()),
                form=dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)),
                authorization=request.headers.get("Authorization"),
                version=request.headers.get("X-Kite-Version"),
            )
        )
        return await self._send(request, served)

    async def _send(self, request: web.BaseRequest, served: Served) -> web.StreamResponse:
        if served.delay_s:
            await self._wait(served.delay_s)
        if served.how == "send":
            return _response(served.answer)
        if served.how == "cut":
            return await _cut(request, served.answer)
        _reset(request)
        return web.Response(status=500)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        kite, now = self._service.kite, self._service.kite.exchange.now
        if self._service.faults.on_stream("closed_stream", now):
            return web.Response(status=503)
        key, token = request.query.get("api_key", ""), request.query.get("access_token", "")
        try:
            self._service.sign_in(f"token {key}:{token}")
        except KiteError:
            return web.Response(status=403, text=WRONG_TOKEN)
        except UnavailableError as error:
            return web.Response(status=503, text=str(error))
        socket_ = web.WebSocketResponse(timeout=_CLOSING_S, max_msg_size=_MOST_MESSAGE)
        await socket_.prepare(request)
        subscriber = Subscriber(kite.exchange, kite.exchange.now)
        self._subscribers.add(subscriber)
        sender = asyncio.ensure_future(self._feed(request, socket_, subscriber))
        try:
            await _hear(socket_, subscriber)
        finally:
            self._subscribers.discard(subscriber)
            sender.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sender
        return socket_

    async def _feed(self, request: web.BaseRequest, socket_: web.WebSocketResponse, subscriber: Subscriber) -> None:
        kite, faults = self._service.kite, self._service.faults
        longest_quiet_s = max(_QUIET_OF_DAY_S / kite.clock.speed, _LEAST_STEP_S)
        quiet_s = longest_quiet_s  # the first word tells that the connection works
        while not self._closing.is_set():
            now = kite.exchange.now
            if faults.on_stream("closed_stream", now):
                _reset(request)
                return
            if faults.on_stream("silent_stream", now):
                subscriber.pass_over(now)
            else:
                texts, binaries = subscriber.due(now)
                for text in texts:
                    await socket_.send_str(text)
                for binary in binaries:
                    await socket_.send_bytes(binary)
                quiet_s = 0.0 if texts or binaries else quiet_s + self._step_s
                if quiet_s >= longest_quiet_s:
                    await socket_.send_bytes(STILL_HERE)
                    quiet_s = 0.0
            await self._wait(self._step_s)
        await socket_.close()

    def _tell(self, change: Change) -> None:
        if not self._subscribers or not order_rows.is_told(change.before, change.after):
            return
        exchange = self._service.kite.exchange
        fills = exchange.fills_of(change.after.order_id)
        row = order_rows.update(change.after, fills, exchange.settings.latency, API_SECRET)
        for subscriber in self._subscribers:
            subscriber.add_update(row)


async def _hear(socket_: web.WebSocketResponse, subscriber: Subscriber) -> None:
    async for heard in socket_:
        if heard.type is WSMsgType.TEXT:
            fault = subscriber.hear(heard.data)
            if fault is not None:
                await socket_.send_str(fault)


def _response(answer: Answer) -> web.Response:
    headers = {} if answer.location is None else {"Location": answer.location}
    return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type, headers=headers)


async def _cut(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    _end(request)
    return response


def _reset(request: web.BaseRequest) -> None:
    """End the connection with a reset instead of an orderly close."""
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if request.transport is not None:
        request.transport.abort()


def _end(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()
