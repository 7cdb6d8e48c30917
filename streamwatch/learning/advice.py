"""Whether footage is enough for what was asked of it, and what would help most, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamwatch.documents import duration_text
from streamwatch.model.calibration.thresholds import BUDGETS_TO_SUPPORT, DAY_S, Calibration, NormalPeaks
from streamwatch.model.fitting import SAMPLE_S
from streamwatch.model.normality.gaussian import supported_shrinkage
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import MOTION

MUCH_OPEN = 0.5


def advice_for(model: SceneModel, budgets_per_day: Mapping[str, float], outliers: int) -> Iterator[str]:
    """What to say of a fit: first whether it is enough, then what would help, the most helpful first.

    Args:
        budgets_per_day: of the zones.
        outliers: stretches of the footage that stand out.
    """
    calibration = model.calibration_
    if calibration is None or model.units_ is None or not calibration.zones:
        return
    yield _enough(calibration, budgets_per_day)
    still = [peaks for peaks in calibration.zones if peaks.field == MOTION and not peaks.zone and peaks.sustained < peaks.floor]
    if still:
        yield "busier hours: nothing moved for long here, so that whoever comes is an alarm; learn when the scene is used"
    if outliers:
        what = "a stretch stands out" if outliers == 1 else f"{outliers} stretches stand out"
        yield f"less: {what} of the footage; leave out what of it is not normal, or it raises the thresholds"
    if model.samples_ > 0 and supported_shrinkage(model.identity.dims, model.samples_) > MUCH_OPEN:
        yield _longer(model)


def _enough(calibration: Calibration, budgets_per_day: Mapping[str, float]) -> str:
    missing_s = max(_missing_s(peaks, budgets_per_day.get(peaks.zone, 0.0)) for peaks in calibration.zones)
    if missing_s <= 0:
        return "enough: the footage supports the alarm budget"
    return (
        f"enough to watch with, not for the alarm budget: it would take {duration_text(missing_s)} more, which "
        "`streamwatch run` adds while it watches; until then an alarm is what is plainly beyond the footage"
    )


def _missing_s(peaks: NormalPeaks, budget_per_day: float) -> float:
    """Seconds of normal footage that a zone lacks for its budget."""
    return BUDGETS_TO_SUPPORT / budget_per_day * DAY_S - peaks.exposure_s if budget_per_day > 0 else 0.0


def _longer(model: SceneModel) -> str:
    seconds = SAMPLE_S * model.samples_
    more_s = max(3600.0, 10 * seconds)
    now, then = (100 * supported_shrinkage(model.identity.dims, s / SAMPLE_S) for s in (seconds, more_s))
    return (
        f"longer: {duration_text(seconds)} leave {now:.0f} % of how a place normally varies to what places vary by together; "
        f"{duration_text(more_s)} would leave {then:.0f} %, and smaller things would be seen"
    )
