"""The page about the sandbox says what the sandbox does: its commands, its script, its plan and its tables."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
import yaml

from fsm_trader.simulate.sandbox.fault_file import _KEYS, read_plan
from fsm_trader.simulate.sandbox.faults import CALLS, KINDS

from .conftest import LONGEST_S, ROOT
from .test_verb import Process, folder, start

__all__ = ["folder", "start"]

PAGE = (ROOT / "docs" / "how-to" / "use-the-sandbox.md").read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)[number]


def rows(title: str) -> list[list[str]]:
    """Return the names in the first cell of each row of the table with that title."""
    table = PAGE[PAGE.index(f"| {title} |") :].partition("\n\n")[0]
    return [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in table.splitlines()[2:]]


def test_the_first_steps_and_the_script_do_what_the_page_says(start, folder):
    command = block("console").strip()
    assert command == "$ python -m fsm_trader sandbox session.yaml --write-session on-sandbox.yaml"
    sandbox: Process = start("--port", "0", "--write-session", "on-sandbox.yaml")
    said: list[str] = []
    while "Ctrl-C" not in (said or [""])[-1]:
        said.append(sandbox.process.stdout.readline())
        assert said[-1]
    text = "".join(said)
    port = re.search(r"http://127\.0\.0\.1:(\d+)\n", text)[1]
    key, token = (re.search(rf"export {name}=(\S+)", text)[1] for name in ("KITE_API_KEY", "KITE_ACCESS_TOKEN"))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/sandbox/clock", timeout=5) as answer:
        clock = json.loads(answer.read())

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", block("python").replace("8923", port)],
        env={**os.environ, "KITE_API_KEY": key, "KITE_ACCESS_TOKEN": token, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )

    assert text.replace(port, "8923").startswith(block("text").removesuffix("...\n"))
    assert clock == json.loads(block("json"))
    assert (done.stdout, done.stderr) == (block("text", 1), "")
    assert (folder / "on-sandbox.yaml").is_file()
    assert sandbox.end(signal.SIGINT)[0] == 0


def test_the_plan_of_the_page_can_be_used(tmp_path):
    (tmp_path / "plan.yaml").write_text(block("yaml"))

    plan = read_plan(tmp_path / "plan.yaml", re.findall(r"--fault '(\{.*?\})'", PAGE))

    assert [fault.kind for fault in plan.faults] == [
        *(fault["kind"] for fault in yaml.safe_load(block("yaml"))["faults"]),
        "reset_after",
    ]


def test_the_page_has_every_kind_key_and_call_and_no_others():
    calls = PAGE[PAGE.index("Calls: ") :].partition("\n\n")[0]

    assert {name for row in rows("Kind") for name in row} == set(KINDS)
    assert {name for row in rows("Key") for name in row} == set(_KEYS)
    assert tuple(re.findall(r"`(\w+)`", calls)) == CALLS


@pytest.mark.parametrize(
    ("rate", "words"), [("quote", "quotes 1 a second"), ("historical", "candles 3"), ("order", "orders 10")]
)
def test_the_page_tells_the_rates_that_are_kept(rate, words):
    from fsm_trader.simulate.sandbox.limits import _ORDERS_PER_DAY, _ORDERS_PER_MINUTE, _PER_SECOND

    assert words in PAGE
    assert words.split()[1] == str(_PER_SECOND[rate])
    assert f"(and {_ORDERS_PER_MINUTE} a minute, {_ORDERS_PER_DAY:,} a day)" in PAGE


def test_the_page_says_what_a_finished_day_and_a_dead_token_ask_for():
    script = PAGE[PAGE.index("## 3. ") : PAGE.index("```python")]
    plan = block("yaml")
    dies = plan[: plan.index("kind: token_death")].splitlines()[-2]

    assert "needs a day that is not over" in script
    assert "start it again" in script
    assert "section 5" in dies
