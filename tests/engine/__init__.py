"""The engine at work: whole days on a virtual clock, with the invariants watched at every step."""
