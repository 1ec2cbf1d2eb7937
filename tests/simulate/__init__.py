"""Whole simulated days: thousands of seeds, the kill matrix, and the bugs they must find."""
