"""Machines as data: definitions in YAML, loaded strictly, checked, drawn and run through the one door to transitions."""
