"""The wire to Zerodha Kite, below broker and market: requests within budgets, errors sorted, answers as our records."""
