"""Who takes orders: the Broker protocol and its adapters."""
