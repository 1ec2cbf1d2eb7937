"""``python -m fsm_trader session.yaml``."""

import sys

from fsm_trader.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
