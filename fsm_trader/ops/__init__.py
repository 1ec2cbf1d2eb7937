"""Tools of the operating system: clocks, the lock, logging."""
