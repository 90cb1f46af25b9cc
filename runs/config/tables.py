"""The table of tasks, by import path, so that a run loads no task but its own and a configuration loads none."""

from collections.abc import Mapping

# Builders (options, corpus) -> Task; what the options are is in `runs.tasks.options`.
TASKS: Mapping[str, str] = {
    "digits": "runs.tasks.digits:build",
    "text": "runs.tasks.text:build",
    "tinystories": "runs.tasks.corpora:build",
    "wikitext": "runs.tasks.corpora:build",
    "table": "runs.tasks.table.build:build",
    "signals": "runs.tasks.signals:build",
    "recall": "runs.tasks.recall:build",
    "trajectories": "runs.tasks.trajectories:build",
    "sine": "runs.tasks.toys:sine",
    "xor": "runs.tasks.toys:xor",
    "parity": "runs.tasks.toys:parity",
}
