"""The live market of Zerodha Kite as a ``MarketFeed``: candles, prices and instruments by REST and by the stream."""
