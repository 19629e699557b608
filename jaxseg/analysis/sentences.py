"""Recommendations and gains in words."""

import math
from collections.abc import Iterable

from jaxseg.analysis.comparisons import LEVEL, MARGIN
from jaxseg.analysis.recommendation import Gain, Recommendation
from jaxseg.analysis.sign_flips import least_p


def points(gain: Gain) -> str:
    """For instance "+2.1 points [0.4, 3.9]"; Dice points are hundredths."""
    if math.isnan(gain.value):
        return "not measured"
    if math.isnan(gain.low):
        return f"{signed(gain.value)} points [no interval]"
    low, high = (signed(bound).removeprefix("+") for bound in (gain.low, gain.high))
    return f"{signed(gain.value)} points [{low}, {high}]"


def signed(dice: float) -> str:
    """Dice as signed points, with a true minus and without a negative zero: "+2.1", "−0.4", "0.0"."""
    value = round(100 * dice, 1)
    return "0.0" if value == 0 else f"{value:+.1f}".replace("-", "−")


def what_intervals_cover(units: Iterable[tuple[int, int]]) -> str:
    """What the intervals of a table of scores hold for, from (repeats, test patients) of its rows."""
    kinds = {(repeats > 1, patients > 1) for repeats, patients in units}
    words = {
        (
            True,
            True,
        ): "The interval covers new patients (or images), and new trainings on the same pool of training images.",
        (False, True): "With one repeat the interval covers new patients (or images), for these trainings only.",
        (True, False): "With one test patient (or image) the interval covers new trainings, for this patient only.",
        (False, False): "One repeat on one test patient (or image) shows no spread, so there is no interval.",
    }
    return " ".join(text for kind, text in words.items() if kind in kinds)


def answer(item: Recommendation, reference: str) -> str:
    """Which weights to start from, or that they are tied."""
    if item.answer == "no data":
        return "No run has finished here yet."
    if item.answer == "unfinished":
        return "No answer yet: the study is unfinished, and its weights share too few finished repeats here."
    if not item.runner_up:
        return f"Nothing to choose from: {item.leader} alone has been studied here{_missing(item)}."
    if item.answer != "tied":
        gain = f"{points(item.over_runner_up)} over the next best, {item.runner_up}"
        return f"Start from {item.leader}: {gain}{_missing(item)}."
    names = ", ".join(item.tied_with[:-1]) + (" and " if len(item.tied_with) > 1 else "") + item.tied_with[-1]
    if item.tie == "equivalent":
        text = f"Tied: {item.leader} is equivalent to {names}, within {100 * MARGIN:g} Dice point"
    else:
        text = (
            f"Tied: {item.leader} has the highest mean, but is not shown to beat {names}{_too_few(item.over_runner_up)}"
        )
    if item.leader != reference:
        text += f"; against {reference} by itself: {points(item.over_reference)}"
    return text + _missing(item) + "."


def _too_few(gain: Gain) -> str:
    """Where no scores whatever could have shown a difference, and an interval without 0 beside it would puzzle."""
    if gain.repeats == 1:
        return ", which one training of each cannot show"
    if least_p(gain.patients) > LEVEL:
        several = f"{gain.patients} test patients (or images)" if gain.patients > 1 else "one test patient (or image)"
        return f", which {several} cannot show"
    return ""


def caution(item: Recommendation) -> str:
    """Where even the leader is no better than the same answer for all pixels; empty where it is, or that is NaN."""
    if not item.leader or not item.dice <= item.trivial:
        return ""
    trivial = f"Dice {item.dice:.3f}, and calling all pixels foreground, or none, gives {item.trivial:.3f}"
    return f"No model has learned the task here ({trivial}): train longer before comparing."


def _missing(item: Recommendation) -> str:
    return f" (no finished run of {', '.join(item.missing)})" if item.missing else ""


def what_helps(item: Recommendation, match: str) -> list[str]:
    """What more images and longer training gave, and whether either is worth more than the choice of weights.

    With equal epochs more images also take more training steps, and the study cannot tell which of the two helped.
    """
    if not item.leader:
        return []
    lines = []
    more = "more images and thus more training steps" if match == "epochs" else "more images"
    if not math.isnan(item.to_fraction):
        step = f"from {100 * item.from_fraction:g} % to {100 * item.to_fraction:g} % of the images"
        last = "the last step up to here, " if item.fraction == item.to_fraction else ""
        lines.append(f"{more.capitalize()}, {last}{step}: {points(item.more_images)}.")
    if not math.isnan(item.to_budget):
        step = f"from {item.from_budget:g} to {item.to_budget:g} epochs"
        lines.append(f"Longer training, {step}: {points(item.longer)}.")
    if item.helps_more != "nothing shown":
        what = more if item.helps_more == "more images" else item.helps_more
        lines.append(
            f"{what.capitalize()} gave more here than the choice of weights, {item.leader} over {item.chosen_over}."
        )
    return lines
