"""Do the drills bite? Each seeded bug is found, and by the invariant it breaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .bugs import BUGS, MOST_SEEDS, is_found, seeds_to_find

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "crash-safety.md"
LISTED = {
    text: int(seeds) for text, seeds in re.findall(r"^\| (.+?) \| .+? \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("text", BUGS)
def test_a_seeded_bug_is_found(text):
    # The page says how many days it took from seed 0 on; the last of them is played, and all where it is not that one.
    if not is_found(text, LISTED[text] - 1):
        assert seeds_to_find(text) is not None, f"{text}: not found in {MOST_SEEDS} seeded days"


def test_the_page_lists_every_bug_and_there_are_as_many_as_are_promised():
    assert set(LISTED) == set(BUGS)
    assert len(BUGS) >= 15
