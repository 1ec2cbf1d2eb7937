"""``diagram``: both machines as Mermaid, DOT and SVG, from the definitions that run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from fsm_trader.app.files import machines_of, settings_of
from fsm_trader.errors import SetupError
from fsm_trader.machines import draw
from fsm_trader.machines.spec import MachineSpec

_FORMS: tuple[tuple[str, Callable[[MachineSpec], str]], ...] = (
    ("mmd", draw.mermaid),
    ("dot", draw.dot),
    ("svg", draw.svg),
)


def call(options: argparse.Namespace) -> int:
    """Write six files and say where they are."""
    specs = machines_of(settings_of(options.file))
    written: dict[str, dict[str, str]] = {}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for spec in specs:
            files: dict[str, str] = {}
            for suffix, form in _FORMS:
                path = options.out / f"{spec.kind}.{suffix}"
                path.write_text(form(spec), encoding="utf-8")
                files[suffix] = str(path)
            written[spec.kind] = {"digest": spec.digest, **files}
    except OSError as error:
        raise SetupError.at(str(options.out), f"cannot be written: {error.strerror}; expected a folder") from error
    if options.json:
        print(json.dumps(written, indent=2))
        return 0
    for kind, files in written.items():
        print(f"{kind} machine {files['digest'][:12]}: {files['mmd']}, {files['dot']}, {files['svg']}")
    return 0
