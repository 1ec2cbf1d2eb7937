"""The broker behind the protocol that is Zerodha Kite."""
