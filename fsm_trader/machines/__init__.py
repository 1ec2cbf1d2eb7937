"""Machines as data: definitions in YAML, loaded strictly, checked, drawn, and run through transitions."""
