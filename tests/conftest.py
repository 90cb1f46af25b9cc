"""Every test computes as a run does: the settings are made before any test module can load torch."""

from hypothesis import settings
from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401 - the hook finds it by name
from runs.environment import prepare

install_import_hook(
    ["qd", "kernels", "organisms", "archive_store", "analysis"], typechecker="tests.shapes.checked"
)
settings.register_profile("plasmodia", deadline=None)  # no test asserts a time
settings.load_profile("plasmodia")
prepare()
