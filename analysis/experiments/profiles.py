"""Performance profiles of the arms of an experiment, each with its band."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from analysis import style
from analysis.experiments.curves import legend, look
from analysis.statistics.profiles import Profile


def profiles(found: Mapping[str, Mapping[str, Profile]], figure: Figure) -> Figure:
    """Fill a figure with a panel for each metric: the share of runs above a score, over all scores.

    Parameters
    ----------
    found
        By what a metric is called and by arm; one metric at least.
    figure
        An empty one.
    """
    figure.set_size_inches(style.WIDTH, 3.6)
    grid = figure.subplots(1, len(found), squeeze=False, sharey="row")[0]
    for axes, (metric, arms) in zip(grid, found.items(), strict=True):
        for place, (arm, profile) in enumerate(arms.items()):
            looks = look(place)
            axes.step(profile.thresholds, profile.shares, where="post", label=style.drawable(arm), **looks)
            if profile.low is not None and profile.high is not None:
                ends = (profile.low, profile.high)
                axes.fill_between(
                    profile.thresholds, *ends, step="post", color=looks["color"], alpha=0.15, linewidth=0
                )
        axes.set_xlabel(style.plain(metric, 40))
        axes.set_ylim(-0.02, 1.02)
    grid[0].set_ylabel("share of seeds above it")
    legend(figure, grid[0])
    return figure
