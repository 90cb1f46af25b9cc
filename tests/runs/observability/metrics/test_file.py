from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.file import NAME, MetricsFile


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_it_is_written_at_most_once_a_second_and_in_the_end(tmp_path):
    clock, collector = Clock(), MetricsCollector()
    file = MetricsFile(collector, clock, print)
    file.write()
    assert list(tmp_path.iterdir()) == []
    file.begin(tmp_path)

    def shown(second, at_once=False):
        clock.now = second
        collector.set("plasmodia_round", second)
        file.write(at_once)
        return (tmp_path / NAME).read_text().split()[-1]

    assert [shown(second) for second in (1.0, 1.5, 1.99, 2.0, 2.5)] == ["1.0", "1.0", "1.0", "2.0", "2.0"]
    assert shown(2.6, at_once=True) == "2.6"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_disk_that_takes_nothing_is_told_once_and_stops_nobody(tmp_path):
    told = []
    file = MetricsFile(MetricsCollector(), Clock(), told.append)
    file.begin(tmp_path / "missing")
    file.write(at_once=True)
    file.write(at_once=True)
    assert told == [
        f"{tmp_path / 'missing' / NAME} cannot be written: No such file or directory; the run goes on"
    ]
