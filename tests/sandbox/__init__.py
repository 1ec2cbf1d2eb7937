"""The sandbox under real clients."""
