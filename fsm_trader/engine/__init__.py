"""The one loop: events in, transitions and commands out, everything committed before it acts."""
