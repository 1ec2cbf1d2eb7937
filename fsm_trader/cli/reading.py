"""Settings for the verbs that read the journal or leave a word beside it: they need little, and do without the rest."""

from __future__ import annotations

import sys
from pathlib import Path

from fsm_trader.app.files import settings_for_reading
from fsm_trader.core.settings import Settings


def settings_to_read_with(path: Path) -> Settings:
    """Return what reading needs, and say on standard error what else is wrong with the files.

    Raises:
        SetupError: the journal cannot be found or understood with this file.
    """
    settings, faults = settings_for_reading(path)
    for fault in faults:
        print(f"note: {fault}; this verb does without it, run would not", file=sys.stderr)
    return settings
