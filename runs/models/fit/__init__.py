"""Training a model: a configuration in, a folder with its log and its best checkpoints out.

The story is read from `runs.models.fit.training` -> `runs.models.fit.loop` -> `runs.models.fit.step.trainer`.
"""

from runs.models.fit.training import Fitted as Fitted
from runs.models.fit.training import fit as fit
