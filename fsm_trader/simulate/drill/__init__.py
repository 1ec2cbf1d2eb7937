"""Fault drills: whole simulated days with planned trouble, ends of the process, and invariants watched throughout."""
