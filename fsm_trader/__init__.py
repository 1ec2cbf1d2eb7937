"""fsm_trader: a live intraday option trader whose session and trades are explicit, journaled state machines."""

__version__ = "0.1.0"
