"""Which weights to start from, for each dataset and number of images, and what else would help more."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from jaxseg.analysis.cells import Cell, Cells, Condition, difference, on_shared_repeats
from jaxseg.analysis.comparisons import LEAST_PATIENTS, MARGIN, differs, final_budget
from jaxseg.analysis.intervals import Spread, interval
from jaxseg.config import Study


@dataclass(frozen=True)
class Gain:
    """Mean Dice won by a change, with its 95 % interval; NaN where the study cannot say.

    `repeats`, `patients`: of how many trainings, and test patients (images where patients are unknown).
    """

    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    repeats: int = 0
    patients: int = 0

    @classmethod
    def of(cls, won: Cell | None, most: float = 1.0) -> "Gain":
        """`most`: what can be won or lost; of one gain over another twice as much as of each."""
        if won is None:
            return cls()
        bounds = interval(Spread.of(won), limits=(-most, most))
        return cls(won.mean, *bounds, len(won.repeats), int(won.patients.max()) + 1)

    @property
    def shown(self) -> bool:
        """True where the interval lies above 0 and rests on several trainings and enough patients."""
        return self.low > 0 and self.repeats > 1 and self.patients >= LEAST_PATIENTS

    @property
    def sure(self) -> bool:
        """True where the gain is shown and worth a Dice point."""
        return self.shown and self.value >= MARGIN


@dataclass(frozen=True)
class Recommendation:
    """For one dataset and fraction.

    Attributes:
        answer: name of the weights, which beat each other one, or "tied"; "no data" where no run has finished;
            "unfinished" where the weights share no repeat, or where the best over the shared repeats is worse than
            another over more of them.
        leader: the weights with the highest mean Dice over the shared repeats; dice: that mean.
        tied_with: the other weights that the leader is not shown to beat, best first.
        tie: "equivalent" where all of these are within one Dice point, else "cannot tell"; empty without a tie.
        over_runner_up: the leader against the next one; over_reference: against the study's reference.
        choice: what choosing the weights is worth: the leader against the reference, or where it is the reference
            itself, against the worst; chosen_over: which of them that is.
        from_fraction, to_fraction, more_images: going on to the next larger fraction with the same weights (at the
            largest: the last step up to it); from_dice: the mean Dice at the smaller one.
        images_over_choice: by how much `more_images` exceeds `choice`; longer_over_choice: likewise `longer`.
        trivial: mean Dice of the better of two answers on the own test images, all pixels foreground and none; NaN
            where the study cannot say.
        from_budget, to_budget, longer: what the last extension of training gave.
        missing: weights without a finished run here.
    """

    trained_on: str
    fraction: float
    answer: str = "no data"
    leader: str = ""
    dice: float = np.nan
    tied_with: tuple[str, ...] = ()
    tie: str = ""
    runner_up: str = ""
    over_runner_up: Gain = Gain()
    over_reference: Gain = Gain()
    choice: Gain = Gain()
    chosen_over: str = ""
    from_fraction: float = np.nan
    to_fraction: float = np.nan
    more_images: Gain = Gain()
    images_over_choice: Gain = Gain()
    from_dice: float = np.nan
    trivial: float = np.nan
    from_budget: float = np.nan
    to_budget: float = np.nan
    longer: Gain = Gain()
    longer_over_choice: Gain = Gain()
    missing: tuple[str, ...] = ()

    @property
    def helps_more(self) -> str:
        """The larger of the gains that are sure and surely exceed the choice of weights; none where that is not shown.

        More images are no answer where the models of fewer had learned nothing yet: any step up looks large there.
        """
        options = {
            "more images": (self.more_images, self.images_over_choice),
            "longer training": (self.longer, self.longer_over_choice),
        }
        if self.from_dice <= self.trivial:
            del options["more images"]
        sure = {name: gain.value for name, (gain, over) in options.items() if gain.sure and over.shown}
        return max(sure, key=lambda name: sure[name]) if sure else "nothing shown"


def recommend(
    study: Study, cells: Cells, comparisons: pd.DataFrame, trivial: Mapping[str, float]
) -> list[Recommendation]:
    """One recommendation per dataset and fraction, from the comparisons of the family "all pairs".

    Weights are named where they beat each other one, without correction: all of these tests must succeed, and of
    weights that are alike the best seldom leads its next by so much (Gutmann & Maymin, Annals of Statistics 15, 1987).
    Which of the others a leader is tied with follows from the corrected verdicts.

    Repeats differ in their training images: weights are ranked, and the leader's gains over others measured, on the
    repeats that all share.

    Args:
        trivial: test dataset -> what `baseline.to_beat` gives.
    """
    pairs = comparisons[comparisons["family"] == "all pairs"]
    return [
        _recommend(study, cells, pairs, Recommendation(d, f, trivial=trivial.get(d, np.nan)))
        for d in study.datasets
        for f in study.fractions
    ]


def _recommend(study: Study, cells: Cells, pairs: pd.DataFrame, empty: Recommendation) -> Recommendation:
    """`empty` filled in: it knows the dataset and the fraction."""
    dataset, fraction = empty.trained_on, empty.fraction
    budget = final_budget(study, fraction)
    conditions = [Condition(dataset, name, fraction, budget, dataset) for name in study.weights]
    present = {condition: cells[condition] for condition in conditions if condition in cells}
    missing = tuple(condition.weights for condition in conditions if condition not in present)
    unanswered = replace(empty, missing=missing)
    if not present:
        return unanswered
    shared = on_shared_repeats(present)
    ranked = sorted(shared, key=lambda condition: -shared[condition].mean)
    here = pairs[(pairs["trained_on"] == dataset) & (pairs["fraction"] == fraction)]
    verdicts = {other.weights: verdict_of(here, ranked[0].weights, other.weights) for other in ranked[1:]}
    if not ranked or "worse" in verdicts.values():
        return replace(unanswered, answer="unfinished")
    over = {other.weights: Gain.of(_won(shared, ranked[0], other)) for other in ranked[1:]}
    led = replace(unanswered, leader=ranked[0].weights, dice=shared[ranked[0]].mean)
    if all(_beats(here, ranked[0].weights, other) for other in verdicts):
        verdicts = dict.fromkeys(verdicts, "better")
    return _with_steps(study, cells, _against_others(led, verdicts, over, study.weights[0]))


def _against_others(
    led: Recommendation, verdicts: dict[str, str], over: dict[str, Gain], reference: str
) -> Recommendation:
    """The answer from verdicts and gains of the leader against the others, which stand best first."""
    others, over_reference = list(over), over.get(reference, Gain())
    chosen_over = others[-1] if others and led.leader == reference else reference if reference in over else ""
    tied = tuple(other for other in others if verdicts[other] != "better")
    return replace(
        led,
        answer="tied" if tied else led.leader,
        tied_with=tied,
        tie=_tie([verdicts[other] for other in tied]),
        runner_up=others[0] if others else "",
        over_runner_up=over[others[0]] if others else Gain(),
        over_reference=over_reference,
        choice=over.get(chosen_over, Gain()),
        chosen_over=chosen_over,
    )


def _with_steps(study: Study, cells: Cells, item: Recommendation) -> Recommendation:
    """Adds what more images and longer training gave from the leader's weights."""
    lower, upper, images, dice = _more_images(study, cells, item.trained_on, item.leader, item.fraction)
    before, after, longer = _longer(study, cells, item.trained_on, item.leader, item.fraction)
    budget = final_budget(study, item.fraction)
    leader = Condition(item.trained_on, item.leader, item.fraction, budget, item.trained_on)
    choice = _won(cells, leader, leader._replace(weights=item.chosen_over))
    return replace(
        item,
        from_fraction=lower,
        to_fraction=upper,
        more_images=Gain.of(images),
        images_over_choice=Gain.of(_over(images, choice), 2.0),
        from_dice=dice,
        from_budget=before,
        to_budget=after,
        longer=Gain.of(longer),
        longer_over_choice=Gain.of(_over(longer, choice), 2.0),
    )


def _tie(verdicts: list[str]) -> str:
    if not verdicts:
        return ""
    return "equivalent" if set(verdicts) == {"equivalent"} else "cannot tell"


def verdict_of(pairs: pd.DataFrame, one: str, other: str) -> str:
    """The verdict on `one` against `other`, whichever way the pair was planned."""
    turned = {"better": "worse", "worse": "better"}
    row, turn = _planned(pairs, one, other)
    verdict = "no data" if row is None else str(row["verdict"])
    return turned.get(verdict, verdict) if turn else verdict


def _beats(pairs: pd.DataFrame, one: str, other: str) -> bool:
    """Whether `one` is shown to be better than `other` where no other pair is asked about."""
    row, turn = _planned(pairs, one, other)
    if row is None or row["verdict"] == "equivalent":
        return False
    return bool((row["difference"] < 0) == turn and differs(row["p"], row["p_sign_flip"]))


def _planned(pairs: pd.DataFrame, one: str, other: str) -> tuple["pd.Series[Any] | None", bool]:
    """The comparison of the two, and whether it was planned the other way round; None where there is none."""
    for first, second, turn in ((one, other, False), (other, one, True)):
        row = pairs[(pairs["weights"] == first) & (pairs["against"] == second)]
        if len(row):
            return row.iloc[0], turn
    return None, False


def _won(cells: Cells, better: Condition, worse: Condition) -> Cell | None:
    return _over(cells.get(better), cells.get(worse))


def _over(one: Cell | None, other: Cell | None) -> Cell | None:
    return None if one is None or other is None else difference(one, other)


def _more_images(
    study: Study, cells: Cells, dataset: str, weights: str, fraction: float
) -> tuple[float, float, Cell | None, float]:
    """(from fraction, to fraction, gain, mean Dice at the smaller one)."""
    if len(study.fractions) == 1:
        return np.nan, np.nan, None, np.nan
    at = min(study.fractions.index(fraction), len(study.fractions) - 2)
    lower, upper = study.fractions[at], study.fractions[at + 1]
    few, many = (Condition(dataset, weights, f, final_budget(study, f), dataset) for f in (lower, upper))
    return lower, upper, _won(cells, many, few), cells[few].mean if few in cells else np.nan


def _longer(
    study: Study, cells: Cells, dataset: str, weights: str, fraction: float
) -> tuple[float, float, Cell | None]:
    epochs = study.recipe_at(fraction).budgets
    if len(epochs) == 1:
        return np.nan, np.nan, None
    short, long = (Condition(dataset, weights, fraction, budget, dataset) for budget in epochs[-2:])
    return epochs[-2], epochs[-1], _won(cells, long, short)


def recommendation_table(recommendations: list[Recommendation]) -> pd.DataFrame:
    """One row per recommendation; gains as value, low, high."""
    rows = []
    for item in recommendations:
        row: dict[str, object] = {}
        for name, value in vars(item).items():
            if isinstance(value, Gain):
                row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            else:
                row[name] = " ".join(value) if isinstance(value, tuple) else value
        rows.append(row | {"helps_more": item.helps_more})
    return pd.DataFrame(rows)
