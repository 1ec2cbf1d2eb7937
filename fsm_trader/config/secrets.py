"""Secrets by name: ``${NAME}`` in a file, the value in the environment or in a file the environment names.

It never puts a value, or text that may be one, into a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fsm_trader.config.files import is_file, is_there
from fsm_trader.core.settings import Secret
from fsm_trader.strict_yaml import Node, Reader

VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}"
_MOST_BYTES = 65_536
_USABLE = re.compile(r"[!-~]{1,4096}")
STAND_IN = Secret("", "nowhere")


class Secrets:
    """Resolves ``${NAME}``.

    In this order: the variable NAME, the file named by the variable NAME_FILE, and the file NAME in the folder
    CREDENTIALS_DIRECTORY (systemd's ``LoadCredential=``). Values are stripped of blanks around them.

    Args:
        reader: collects the faults.
        environ: the variables.
        only: secrets of sections that stand at other places are not looked up, for whoever needs but some of them.
    """

    def __init__(self, reader: Reader, environ: Mapping[str, str], *, only: str | None = None) -> None:
        self._reader = reader
        self._environ = environ
        self._only = only

    def name(self, node: Node) -> str | None:
        """Return NAME of a value that is exactly ``${NAME}``; anything else is a fault and is not shown."""
        if node.refused:
            return None
        match = re.fullmatch(VARIABLE, node.value) if isinstance(node.value, str) else None
        if match is None:
            seen = "empty" if self._reader.is_null(node) else "a literal value (not shown)"
            self._reader.fault(
                node, f"was {seen}; expected ${{NAME}}: secrets come from the environment, never from YAML text"
            )
            return None
        return match[1]

    def read(self, node: Node) -> Secret:
        """Return the secret a node of a section names; a stand-in after a fault, and where it is not looked up."""
        name = self.name(node)
        is_skipped = self._only is not None and not node.path.startswith(self._only)
        return STAND_IN if name is None or is_skipped else self.find(node, name)

    def find(self, node: Node, name: str) -> Secret:
        """Return the secret called *name*; a stand-in after a fault, which is reported at *node*."""
        found = self._look_up(node, name)
        if found is None:
            return STAND_IN
        value, source = found
        if not _USABLE.fullmatch(value):
            seen = "is not one line of visible ASCII characters" if value else "is empty"
            self._reader.fault(node, f"the value of {name} from {source} {seen}; expected the secret alone")
            return STAND_IN
        return Secret(value, source)

    def _look_up(self, node: Node, name: str) -> tuple[str, str] | None:
        """Return a value and where it came from, in words."""
        if name in self._environ:
            return self._environ[name].strip(), f"environment variable {name}"
        named = self._environ.get(f"{name}_FILE")
        if named:
            return self._from_file(node, Path(named), f"the file named by {name}_FILE")
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if folder and is_file(Path(folder) / name):
            return self._from_file(node, Path(folder) / name, f"the credential {name}")
        self._reader.fault(
            node, f"environment variable {name} is not set; expected it, or {name}_FILE with the path of a file"
        )
        return None

    def _from_file(self, node: Node, path: Path, source: str) -> tuple[str, str] | None:
        if is_there(path) and not is_file(path):
            # A pipe would hang whoever opens it, and give what it holds once only.
            self._reader.fault(node, f"{source} is no file; expected a file with the secret alone")
            return None
        try:
            with path.open("rb") as file:
                return file.read(_MOST_BYTES).decode().strip(), source
        except UnicodeDecodeError:
            self._reader.fault(node, f"{source} is not UTF-8 text; expected the secret alone")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            self._reader.fault(node, f"{source} cannot be read ({reason}); expected the secret alone")
        return None
