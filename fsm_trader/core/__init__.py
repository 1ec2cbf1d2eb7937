"""The pure part: money, contracts, orders, trades, records and folds. No clock, file, network or random number."""
