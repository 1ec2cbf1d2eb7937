"""Journals of released versions, replayed by today's code for ever."""
