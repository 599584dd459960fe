# Writes events.bin with TensorBoard's own messages and writer: what stdlib/midtrain/tensorboard.lua has to write, too.
#   python make_events.py          needs the package tensorboard
import os
import pathlib

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

TIME = 1700000000.25

values = [0.5, 1.0, 2.0, 2.0, 6.5]
limits = [0.5 + i * 0.2 for i in range(1, 30)] + [6.5]
counts = [0.0] * 30
for value in values:
    counts[min(29, int((value - 0.5) // 0.2))] += 1

summary = summary_pb2.Summary(
    value=[
        summary_pb2.Summary.Value(tag="loss", simple_value=-1.25),
        summary_pb2.Summary.Value(tag="rewards/match/mean", simple_value=0.1),
        summary_pb2.Summary.Value(
            tag="reward",
            histo=summary_pb2.HistogramProto(
                min=0.5, max=6.5, num=5, sum=sum(values), sum_squares=sum(v * v for v in values),
                bucket_limit=limits, bucket=counts)),
        summary_pb2.Summary.Value(
            tag="completion",
            tensor=tensor_pb2.TensorProto(
                dtype=types_pb2.DT_STRING,
                tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
                string_val=["π is **3**\n".encode()]),
            metadata=summary_pb2.SummaryMetadata(
                plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))),
    ])

path = pathlib.Path(__file__).with_name("events.bin")
with open(path, "wb") as file:
    writer = RecordWriter(file)
    for event in [
        event_pb2.Event(wall_time=TIME, file_version="brain.Event:2"),
        event_pb2.Event(
            wall_time=TIME, step=300, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
        event_pb2.Event(wall_time=TIME, step=300, summary=summary),
        # Longer than seven bits can say.
        event_pb2.Event(
            wall_time=TIME, step=2**35,
            summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="x" * 200, simple_value=1e30)])),
    ]:
        writer.write(event.SerializeToString())
print(path, os.path.getsize(path), "bytes")
