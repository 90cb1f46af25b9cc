import dataclasses
import sqlite3

import numpy as np
import pytest

from archive_store.journal.chain import numbered
from archive_store.journal.journal import Journal
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from qd.measures import MEASURES, ranges_from_samples
from runs.calibration.borrow import borrowed
from runs.calibration.constants import Calibration, constants, read_centroids
from runs.config.sections import CENTROIDS
from runs.errors import ConfigError, RunError
from runs.launch import launch
from runs.prepared import prepare
from runs.training.build import build
from runs.training.calibration_jobs import Fit, Sample, Sampled, Worth
from runs.training.world import WorldSpec
from tests.fixtures.small_runs import copied, older, small

pytestmark = pytest.mark.calibrates_anew
COMPONENTS = 40


def spec_of(config):
    return WorldSpec(config.model_dump(mode="json", by_alias=True))


def sampled(p=5, noise=1.2):
    """Five organisms at two checkpoints; p measures share two causes, so that their KMO is fair."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, p))

    def organism(number):
        samples = []
        for step in (6, 12):
            values = rng.normal(size=(COMPONENTS, 2)) @ mixing + noise * rng.normal(size=(COMPONENTS, p))
            samples.append(Sample(number, step, values.tolist()))
        halves = [(values + 0.05 * rng.normal(size=values.shape)).tolist() for _ in range(2)]
        return Sampled(tuple(samples), *halves, ())

    return [organism(number) for number in range(-2, -7, -1)]


def rows_of(given):
    return [row for each in given for sample in each.samples for row in sample.measures]


def changed(given, change):
    """The same with another row of measures in place of each, halves included."""
    return [
        dataclasses.replace(
            each,
            samples=tuple(
                dataclasses.replace(sample, measures=[change(row) for row in sample.measures])
                for sample in each.samples
            ),
            even=[change(row) for row in each.even],
            odd=[change(row) for row in each.odd],
        )
        for each in given
    ]


ASSAYS = np.linspace(-0.1, 0.9, 101).tolist()
FIT = Fit(loss=0.4, first=2.5, constant=2.3)


def found(*overrides, given=None, assays=ASSAYS):
    config = small("validity.gate=robust", *overrides)
    first, *rest = given or sampled()
    worth = tuple(Worth(mean, mean - 0.05, 1 - mean) for mean in assays)
    return constants(config, spec_of(config), FIT, [dataclasses.replace(first, worth=worth), *rest])


def measures(p):
    names = [*MEASURES, "mine:norm", "mine:reach", "mine:pace"]
    return f"measures=[{','.join(names[:p])}]"


class TestConstants:
    def test_ranges_are_quantiles_of_all_checkpoints_and_the_reference_is_the_99th_percentile(self):
        calibration = found()
        assert calibration.ranges == ranges_from_samples(rows_of(sampled()), {})
        assert calibration.reference == pytest.approx(0.89)
        assert calibration.gradients == tuple(sorted(1 - assay for assay in ASSAYS))
        assert calibration.centroids.shape == (32, 5)
        assert calibration.verdict["status"] in ("ok", "warn")
        assert (calibration.verdict["n"], calibration.verdict["organisms"]) == (400, 5)

    def test_the_largest_cost_is_that_of_the_largest_genes(self):
        config = small()
        task = build(spec_of(config)).task
        length, dim, rank, width = task.length, 16, config.options.max_rank, config.options.max_width
        pairs = task.visible(5).sum()
        flops = 2 * length * dim * 2 * (rank + width) + pairs * (2 * rank + 2 * width + 5)
        assert found().largest_flops == flops

    def test_reliability_is_taken_from_the_halves_of_the_probe(self):
        assert min(found().verdict["reliability"]) > 0.9
        noise = np.random.default_rng(3).normal(size=(COMPONENTS, 5)).tolist()
        given = [dataclasses.replace(each, odd=noise) for each in sampled()]
        with pytest.raises(RunError, match=r"the behaviour space is not sound: .*reliab"):
            found(given=given)

    def test_an_unsound_space_stops_with_one_sentence(self):
        given = changed(sampled(), lambda row: [*row[:4], row[0]])
        with pytest.raises(RunError, match="the behaviour space is not sound: ") as caught:
            found(given=given)
        assert str(caught.value).endswith(
            "Ways out: fewer measures, such as measures=[attention_span, activation_sparsity, gradient_flow, "
            "access_locality]; one of the 13 other built-in measures (`plasmodia validate "
            "--measures` ranks sets); a measure of your own is named package.module:name in measures; "
            "validity.gate=off goes on and only warns"
        )
        assert "\n" not in str(caught.value)
        assert found("validity.gate=off", given=given).verdict["status"] == "warn"

    def test_too_few_samples_for_validity_stop_with_one_sentence(self):
        given = [
            Sampled((Sample(-2, 6, each.samples[-1].measures[:1]),), each.even[:1], each.odd[:1], ())
            for each in sampled()
        ]
        with pytest.raises(
            RunError, match="the behaviour space is not sound: 5 rows are too few for 5 measures; sample"
        ) as caught:
            found(given=given)
        assert "\n" not in str(caught.value)

    def test_a_constant_measure_has_no_range(self):
        given = changed(sampled(), lambda row: [1.0, *row[1:]])
        with pytest.raises(RunError, match=r"cannot be calibrated: attention_span is 1\.0 for nearly all"):
            found("validity.gate=off", given=given)
        without = "measures=[attention_span,gradient_flow]"
        cut = changed(given, lambda row: row[:2])
        with pytest.raises(RunError, match="one of the 16 other built-in measures"):
            found(without, given=cut)

    @pytest.mark.parametrize("p", [2, 3, 8])
    @pytest.mark.parametrize("gate", ["robust", "blueprint"])
    def test_there_are_ranges_and_centroids_for_any_number_of_measures(self, p, gate):
        calibration = found(measures(p), f"validity.gate={gate}", given=sampled(p, 1.5))
        expected = ranges_from_samples(rows_of(sampled(p, 1.5)), {}, list("abcdefgh")[:p])
        assert calibration.ranges == expected
        assert calibration.centroids.shape == (32, p)
        assert len(calibration.verdict["names"]) == p
        assert (calibration.verdict["kmo"] is None) == (p == 2)

    @pytest.mark.parametrize("gate", ["robust", "blueprint"])
    def test_two_measures_stop_for_other_reasons_than_the_kmo(self, gate):
        given = changed(sampled(2), lambda row: [row[0], row[0] + 1e-3 * row[1]])
        with pytest.raises(RunError, match=r"is not sound: attention_span and activation_sparsity are "):
            found(measures(2), f"validity.gate={gate}", given=given)

    @pytest.mark.parametrize("assays", [[0.0] * 9, [-0.5, -0.1], [float("nan"), 1.0]])
    def test_components_that_help_nobody_give_no_reference(self, assays):
        with pytest.raises(RunError, match=rf"no component of {len(assays)} helps the reference hosts"):
            found(assays=assays)


class TestCentroids:
    def test_halton_fills_the_cube_and_kmeans_goes_where_the_samples_are(self):
        even, observed = (
            found().centroids,
            found("archive.centroids=kmeans", "archive.cells=4", "calibration.organisms=5"),
        )
        assert ((even >= 0) & (even <= 1)).all()
        assert observed.centroids.shape == (4, 5)
        behaviours, _ = observed.ranges.behaviours(rows_of(sampled()))
        distances = np.linalg.norm(behaviours[:, None] - observed.centroids, axis=-1).min(1)
        spread = np.linalg.norm(behaviours - behaviours.mean(0), axis=-1)
        assert (distances**2).mean() < 0.6 * (spread**2).mean()

    def test_errors_of_quantisation_are_told_beside_one_another(self):
        options = "archive.cells=4", "calibration.organisms=5"
        errors = {
            way: dict(found(f"archive.centroids={way}", *options).outlook.quantisation) for way in CENTROIDS
        }
        assert list(errors["halton"]) == ["halton"]
        assert errors["annealed"] == pytest.approx(errors["kmeans"])
        assert set(errors["annealed"]) == set(CENTROIDS)
        assert (
            errors["annealed"]["annealed"]
            < 1.02 * errors["annealed"]["kmeans"]
            < errors["annealed"]["halton"]
        )

    def test_too_few_samples_for_kmeans_are_found_when_there_are_fewer_than_planned(self):
        with pytest.raises(RunError, match=r"archive\.centroids=kmeans: .*10"):
            found(
                "archive.centroids=kmeans", "archive.cells=9", "calibration.organisms=20", given=sampled()[:1]
            )

    def test_a_file_is_taken_as_it_is(self, tmp_path):
        points = np.random.default_rng(0).uniform(size=(7, 5))
        np.save(tmp_path / "mine.npy", points)
        calibration = found(f"archive.centroids={tmp_path / 'mine.npy'}", "archive.cells=7")
        np.testing.assert_array_equal(calibration.centroids, points)

    @pytest.mark.parametrize("p", [2, 3, 8])
    def test_kmeans_and_files_have_a_column_for_each_measure(self, p, tmp_path):
        options = measures(p), "archive.cells=4", "calibration.organisms=5"
        assert found(*options, "archive.centroids=kmeans", given=sampled(p, 1.5)).centroids.shape == (4, p)
        points = np.random.default_rng(p).uniform(size=(4, p))
        np.save(tmp_path / "mine.npy", points)
        file = f"archive.centroids={tmp_path / 'mine.npy'}"
        np.testing.assert_array_equal(found(*options, file, given=sampled(p, 1.5)).centroids, points)
        message = rf"mine\.npy: centroids must be \[cells, 4\], one column per measure, got shape \(4, {p}\)"
        with pytest.raises(RunError, match=message):
            found(measures(4), file, given=sampled(4))

    def test_points_outside_the_cube_are_refused(self, tmp_path):
        np.save(tmp_path / "mine.npy", np.full((7, 5), 2.0))
        with pytest.raises(RunError, match=r"archive\.centroids=.*mine\.npy: "):
            found(f"archive.centroids={tmp_path / 'mine.npy'}")

    @pytest.mark.parametrize("content", [b"", b"no array", b"\x80\x04N."])
    def test_what_is_no_array_is_refused(self, tmp_path, content):
        (tmp_path / "mine.npy").write_bytes(content)
        with pytest.raises(ConfigError, match=r"mine\.npy is not a readable \.npy array"):
            read_centroids(str(tmp_path / "mine.npy"))


def test_what_the_journal_says_reads_back():
    calibration = found()
    spec = dataclasses.replace(spec_of(small()), interface=b"stem", hosts=(b"a", b"b", b"c"))
    event = numbered(0, [("calibration", calibration.event(spec))])[0].value
    again = Calibration.read(event, calibration.centroids)
    for name in ("ranges", "reference", "gradients", "largest_flops", "verdict"):
        assert getattr(again, name) == getattr(calibration, name)
    assert len(event["hosts"]) == 3
    with pytest.raises(RunError, match=r"cannot be read .*it has ranges of 5 measures and centroids of 3"):
        Calibration.read(event, calibration.centroids[:, :3])


class TestShared:
    def test_interface_hosts_ranges_and_centroids_are_the_other_runs(self, undisturbed, tmp_path):
        run = launch(
            small(f"calibration.from={undisturbed}", "seed=5", "organism.count=2", "rounds=2"), tmp_path / "b"
        )
        ours, theirs = open_run(run), open_run(undisturbed)
        assert ours.calibration() == theirs.calibration()
        np.testing.assert_array_equal(ours.centroids(), theirs.centroids())
        for digest in (ours.calibration()["interface"], *ours.calibration()["hosts"]):
            assert ours.directory.blobs.get(digest) == theirs.directory.blobs.get(digest)

    def take(self, undisturbed, *overrides):
        config = small(f"calibration.from={undisturbed}", *overrides)
        return borrowed(undisturbed, config, prepare(config).data, spec_of(config))

    def test_arms_seeds_and_sizes_of_the_population_may_differ(self, undisturbed):
        others = ("births=none", "lag=2", "seed=9", "organism.count=5", "rounds=7", "archive.rescore_every=2")
        spec, calibration = self.take(undisturbed, *others, "emitters.children=0")
        assert (len(spec.hosts), calibration.centroids.shape) == (3, (32, 5))

    @pytest.mark.parametrize(
        ("override", "named"),
        [
            ("organism.pseudopods.max_rank=3", "organism.pseudopods.max_rank: 4 against 3"),
            ("training.learning_rate=0.1", "training.learning_rate: 0.003 against 0.1"),
            ("calibration.steps=13", "calibration.steps: 12 against 13"),
            ("archive.cells=16", "archive.cells: 32 against 16"),
            ("task.examples=100", "data: "),
        ],
    )
    def test_other_sections_or_data_are_refused_by_name(self, undisturbed, override, named):
        with pytest.raises(RunError, match="does not fit this run: ") as caught:
            self.take(undisturbed, override)
        assert named in str(caught.value)

    @pytest.mark.parametrize("base", ["[]", "{"])
    def test_a_beginning_that_is_none_is_refused(self, undisturbed, tmp_path, base):
        run = copied(undisturbed, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute("UPDATE meta SET value = ? WHERE key = 'base'", (base,))
        database.close()
        with pytest.raises(RunError, match=r"what the journal of .* begins with cannot be read"):
            self.take(run)

    def test_a_run_of_another_format_is_refused(self, undisturbed, tmp_path):
        with pytest.raises(
            RunError, match="has the content of format 2 and this version works with format 4"
        ):
            self.take(older(copied(undisturbed, tmp_path)))

    def test_a_run_without_calibration_is_refused(self, tmp_path):
        directory = RunDirectory.create(tmp_path / "run", "seed: 0\n", {})
        Journal.create(directory.journal_path).close()
        config = small()
        with pytest.raises(RunError, match=r"run has no calibration in its journal"):
            borrowed(tmp_path / "run", config, "", spec_of(config))
