"""A server on this machine that speaks Kite Connect, over the paper broker's matching engine and a recorded day."""
