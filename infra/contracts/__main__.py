"""`python -m infra.contracts write | check | freeze`: the contract documents, for developers."""

from __future__ import annotations

import sys

from infra.contracts import files

USAGE = """\
python -m infra.contracts write    bring docs/asyncapi.yaml, docs/schemas and docs/examples up to date
python -m infra.contracts check    say what is out of date, and what breaks the last version
python -m infra.contracts freeze   make the present contracts the last version (docs/contracts/last)
"""


def main(arguments: list[str]) -> int:
    """Carry out one command; gives the exit code."""
    match arguments:
        case ["write"]:
            return _report(
                [], [f"wrote docs/{path}" for path in files.write()] or ["everything is up to date"]
            )
        case ["check"]:
            stale = [f"docs/{path} is out of date: run `make contracts`" for path in files.stale()]
            return _report([*stale, *files.broken()], ["up to date, and nothing breaks the last version"])
        case ["freeze"]:
            return _report(files.freeze(), [f"docs/{files.LAST} is version {files.VERSION}"])
        case _:
            return _report([USAGE], [])


def _report(problems: list[str], otherwise: list[str]) -> int:
    sys.stdout.write("\n".join(problems or otherwise) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
