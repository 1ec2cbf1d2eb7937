"""Telling people what was committed: the Notifier protocol, Telegram and the log."""
