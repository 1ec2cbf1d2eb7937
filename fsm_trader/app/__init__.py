"""The composition root: the only place that chooses implementations and puts them together."""
