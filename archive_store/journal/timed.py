"""What a journal holds of times and memory beside the rounds; no digest covers any of it.

All are durations, and none is a moment, so that they add up over resumes. With them the time line of a run can be made
again: a round was committed when the seconds of `WALL` up to it had passed, an order was answered `HELD` before its
round was, and was sent `ORDER` before that.
"""

ORDER = "order"  # of an organism: seconds from sending an order to its answer, by the driver's clock
HELD = "held"  # seconds from the answer until all of its round was there and stored, to be committed
EMIT = "emit_"  # before the names of what chunks of emitters took
TOTAL = "total"  # seconds of the order by the trainer's own clock, all parts together
IDLE = "idle"  # seconds in which a worker had no order, since the commit before
STORE = "store"  # seconds in which genomes and states of a round were written, before its transaction
WRITE = "write"  # seconds of the transaction, and of removing what it freed
MEMORY = "memory"  # kind of the incident that says which process has had how many bytes resident at most
BYTES = "bytes"  # key of its body: bytes by worker
DRIVER = "driver"  # worker of what the driver did
PARTS = ("prepare", "train", "probe", "assay", "genomes")  # of an order of an organism, in this order
EMIT_PARTS = ("vary", "score")  # of an order of an emitter
