"""Strategies: what to do on a completed candle, and the registry that finds them."""
