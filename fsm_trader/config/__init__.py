"""From YAML files to frozen, typed settings; every fault at once, with file, line and path."""

from fsm_trader.config.load import load_settings
from fsm_trader.config.show import describe

__all__ = ["describe", "load_settings"]
