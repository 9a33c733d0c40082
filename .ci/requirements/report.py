"""What the tools of the supply chain found, for people: licences of an SBOM, and what an audit could and could not say.

``python .ci/requirements/report.py licences SBOM`` prints one line a package, ``… audit FILE`` known
vulnerabilities. The latter ends with 1 where there are some, and with 2 where a package was not audited and
ADVISOR_AUDIT=required is set.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

NOT_AUDITED = 2


def licences(sbom: dict[str, Any]) -> list[str]:
    """One line a package: name, version, licences as the package declares them."""
    rows = sorted(sbom["components"], key=lambda package: package["name"].lower())
    return [f"{row['name']} {row['version']}: {_licence_of(row)}" for row in rows]


def _licence_of(package: dict[str, Any]) -> str:
    names = [entry.get("expression") or _named(entry["license"]) for entry in package.get("licenses", [])]
    return "; ".join(dict.fromkeys(names)) or "not declared"


def _named(licence: dict[str, str]) -> str:
    return (licence.get("id") or licence["name"]).removeprefix("License :: ").removeprefix("OSI Approved :: ")


def audit(found: dict[str, Any]) -> tuple[list[str], int]:
    """Lines about vulnerable packages and those that the database did not answer for, and the exit status."""
    packages = found["dependencies"]
    vulnerable = [
        f"{row['name']} {row['version']}: {fault['id']}" for row in packages for fault in row.get("vulns", [])
    ]
    skipped = [row["name"] for row in packages if "skip_reason" in row]
    lines = [*vulnerable, f"{len(packages) - len(skipped)} of {len(packages)} packages audited"]
    if skipped:
        lines.append(f"not audited, the database did not answer for them: {', '.join(skipped)}")
    required = os.environ.get("ADVISOR_AUDIT") == "required"
    return lines, 1 if vulnerable else NOT_AUDITED if skipped and required else 0


def main(kind: str, path: Path) -> int:
    """Print the report; the exit status."""
    if kind == "audit" and not path.is_file():
        lines, status = audit({"dependencies": [{"name": "everything", "skip_reason": "no answer"}]})
    else:
        content = json.loads(path.read_text())
        lines, status = audit(content) if kind == "audit" else (licences(content), 0)
    sys.stdout.write("\n".join(lines) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
