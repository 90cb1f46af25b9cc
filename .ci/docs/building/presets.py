"""The page of presets: what each says of itself, and what it sets."""

from pathlib import Path

import runs.config.presets
import runs.models.fit.reading

INTRODUCTION = """\
# Presets

A preset is a configuration by a name; what it does not set has [its default](configuration.md). `plasmodia launch NAME
--dry-run` and `plasmodia fit NAME --dry-run` write the whole, as a file to begin with.
"""
KINDS = (  # heading, command, folder
    ("Runs", "launch", runs.config.presets.PRESETS),
    ("Experiments", "experiment", runs.config.presets.PRESETS / "experiments"),
    ("Trainings", "fit", runs.models.fit.reading.PRESETS),
)


def page() -> str:
    """Return the page of presets."""
    parts = [INTRODUCTION]
    for heading, command, folder in KINDS:
        parts.append(f"## {heading}")
        parts += [_section(path, command) for path in sorted(folder.glob("*.yaml"))]
    return "\n\n".join(parts) + "\n"


def _section(path: Path, command: str) -> str:
    lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    first = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    says = " ".join(line.lstrip("# ") for line in lines[:first])
    settings = "\n".join(lines[first:])
    return f"### plasmodia {command} {path.stem}\n\n{says}\n\n```yaml\n{settings}\n```"
