"""Real processes, killed and stopped at every kind of moment, and started again."""
