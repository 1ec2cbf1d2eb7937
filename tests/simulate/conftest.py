"""The drill of the bundled session, made once for each worker, and the words of a failure."""

from __future__ import annotations

import os
from functools import cache

import pytest

from fsm_trader.app.drill import Drill
from fsm_trader.app.files import settings_of

from .bugs import SESSION

IS_SOAK = bool(os.environ.get("FSM_TRADER_SOAK"))
AGAIN = "again: python -m fsm_trader drill session.yaml"


@cache
def the_drill() -> Drill:
    return Drill(settings_of(SESSION))


@pytest.fixture
def drill() -> Drill:
    """The drill of the bundled session, made once for each worker."""
    return the_drill()
