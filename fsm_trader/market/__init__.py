"""What the market shows: candles, instruments, option selection, calendar and feeds."""
