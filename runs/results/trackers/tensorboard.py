"""Event files of TensorBoard: scalars by round, settings and tags as text, pictures."""

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from runs.results.trackers.export import refuse_second
from runs.results.trackers.tracked import Tracked

_SIZE = slice(16, 24)  # bytes of a PNG that hold its width and its height


def write(run: Tracked, folder: Path) -> Path:
    """Write a run's event file into a folder of its own, whose path is returned.

    Raises
    ------
    ConfigError
        If that folder is there.
    """
    place = folder / run.identity
    refuse_second(folder, place if place.exists() else None)
    writer = EventFileWriter(str(place))
    last = run.points[-1]
    now = time.time() if last.at is None else last.at
    try:
        for point in run.points:
            at = now if point.at is None else point.at
            values = [Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
            writer.add_event(Event(wall_time=at, step=point.round, summary=Summary(value=values)))
        rows = [_text("settings", run.settings), _text("tags", run.tags)]
        pictures = [_picture(name, data) for name, data in run.pictures.items()]
        writer.add_event(Event(wall_time=now, step=last.round, summary=Summary(value=[*rows, *pictures])))
    finally:
        writer.close()
    return place


def _text(name: str, values: Mapping[str, object]) -> Summary.Value:
    """Return a table, which the plugin for texts shows."""
    rows = [f"| {key} | `{value}` |" for key, value in values.items()]
    table = "\n".join(["| key | value |", "|---|---|", *rows])
    return Summary.Value(
        tag=name,
        metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text")),
        tensor=TensorProto(
            dtype=DT_STRING,
            string_val=[table.encode("utf-8")],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        ),
    )


def _picture(name: str, data: bytes) -> Summary.Value:
    width, height = struct.unpack(">II", data[_SIZE])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=data)
    return Summary.Value(tag=f"plots/{name}", image=image)
