"""Journal events as pandas frames: one row per round, census, record, decision, competition or verdict.

Component ids are texts "organism.born.slot", several are a tuple of them; a missing number is NaN and a missing
text None. A frame without rows has all its columns. Columns of measures have the names that are given, in the
order of the run.
"""

from archive_store.frames.archive import children as children
from archive_store.frames.archive import elites as elites
from archive_store.frames.archive import emitters as emitters
from archive_store.frames.archive import held_out as held_out
from archive_store.frames.archive import outcomes as outcomes
from archive_store.frames.archive import taken as taken
from archive_store.frames.components import best_organism as best_organism
from archive_store.frames.components import census as census
from archive_store.frames.components import decisions as decisions
from archive_store.frames.components import records as records
from archive_store.frames.components import shadows as shadows
from archive_store.frames.components import trials as trials
from archive_store.frames.course import rounds as rounds
from archive_store.frames.course import timings as timings
from archive_store.frames.course import validity as validity
from archive_store.frames.table import frame as frame
