"""Real recorded days through the real command line."""
