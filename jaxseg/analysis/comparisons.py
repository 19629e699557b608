"""Paired comparisons of initial weights: intervals, tests, verdicts.

The plan follows from study.json, not from scores. For every dataset and fraction, at the last epoch budget, on
the dataset's own test images, mean Dice per image is compared in two families:

- "reference": every weights against the study's first weights;
- "all pairs": every two weights, for the recommendation, which names weights that beat each other one.

Holm's correction runs within one family of one dataset and fraction, over the planned number of comparisons: those
that cannot be made because runs are missing count as p = 1.
"""

import itertools
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from jaxseg.analysis.cells import Cell, Cells, Condition, Matrix, difference
from jaxseg.analysis.intervals import Spread, equivalence_p, interval, p_value
from jaxseg.analysis.sign_flips import least_p, sign_flip_p
from jaxseg.config import Study
from jaxseg.seeds import generator
from jaxseg.wording import counted

LEVEL = 0.05
MARGIN = 0.01  # one Dice point
LEAST_PATIENTS = 3  # one or two do not show how patients vary

Family = Literal["reference", "all pairs"]
Verdict = Literal["better", "worse", "equivalent", "cannot tell", "no data"]


@dataclass(frozen=True)
class Comparison:
    """`weights` minus `against` at one dataset and fraction; differences are in Dice, not in points.

    Attributes:
        repeats, images, patients: how many pairs of trainings, test images and patients.
        low, high: 95 % interval over repeats and patients; low_90, high_90: the one that equivalence is read from. NaN
            with one repeat and one patient.
        p: that new trainings on new patients show no difference; NaN with one repeat or one patient.
        p_sign_flip: over patients (images where patients are unknown), of differences averaged over repeats.
        p_t, t: paired t-test over repeats; NaN with one repeat or without any spread.
        p_equivalence: two one-sided tests against ±MARGIN, otherwise as `p`; NaN below LEAST_PATIENTS patients;
            p_equivalence_t: over repeats, paired t.
        *_holm: corrected within the family.
        least_p_sign_flip: the least p that this many patients can give; least_p_repeats: the least
            p of a sign-flip or signed-rank test over this many repeats.
    """

    family: Family
    trained_on: str
    fraction: float
    budget: int
    weights: str
    against: str
    repeats: int = 0
    images: int = 0
    patients: int = 0
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    low_90: float = np.nan
    high_90: float = np.nan
    p: float = np.nan
    p_holm: float = np.nan
    p_sign_flip: float = np.nan
    p_sign_flip_holm: float = np.nan
    least_p_sign_flip: float = np.nan
    t: float = np.nan
    p_t: float = np.nan
    p_t_holm: float = np.nan
    least_p_repeats: float = np.nan
    p_equivalence: float = np.nan
    p_equivalence_holm: float = np.nan
    p_equivalence_t: float = np.nan
    verdict: Verdict = "no data"
    note: str = "runs are missing"

    @property
    def conditions(self) -> tuple[Condition, Condition]:
        """Of `weights` and of `against`."""
        one, other = (
            Condition(self.trained_on, name, self.fraction, self.budget, self.trained_on)
            for name in (self.weights, self.against)
        )
        return one, other


def final_budget(study: Study, fraction: float) -> int:
    return study.recipe_at(fraction).budgets[-1]


def planned_pairs(study: Study, family: Family) -> list[tuple[str, str]]:
    """(weights, against): written down by the study's own order of weights."""
    if family == "reference":
        return [(weights, study.weights[0]) for weights in study.weights[1:]]
    return [(later, earlier) for earlier, later in itertools.combinations(study.weights, 2)]


def compare(study: Study, cells: Cells) -> pd.DataFrame:
    """All planned comparisons, one row each with the fields of `Comparison`; empty for a single weights."""
    rows: list[Comparison] = []
    families: tuple[Family, ...] = ("reference", "all pairs")
    for family in families:
        for dataset in study.datasets:
            for fraction in study.fractions:
                rows += _family(study, cells, family, dataset, fraction)
    return pd.DataFrame([vars(row) for row in rows], columns=list(Comparison.__dataclass_fields__))


def _family(study: Study, cells: Cells, family: Family, dataset: str, fraction: float) -> list[Comparison]:
    budget = final_budget(study, fraction)
    measured, pairs = [], planned_pairs(study, family)
    for pair in pairs:
        plan = Comparison(family, dataset, fraction, budget, *pair)
        one, other = map(cells.get, plan.conditions)
        paired = None if one is None or other is None else difference(one, other)
        measured.append(_measure(plan, paired, len(pairs)))
    return [_judge(row) for row in _correct(measured)] if measured else []


def _measure(plan: Comparison, paired: Cell | None, planned: int) -> Comparison:
    """`planned`: comparisons of the family."""
    if paired is None:
        return plan
    names = (plan.trained_on, plan.fraction, plan.weights, plan.against)
    spread = Spread.of(paired)
    wide, narrow = interval(spread), interval(spread, 1 - 2 * LEVEL)
    flips = generator("sign flip", *names)
    patients = int(paired.patients.max()) + 1
    t, p_t, p_equivalence_t = over_repeats(paired)
    return replace(
        plan,
        repeats=len(paired.repeats),
        images=len(paired.images),
        patients=patients,
        difference=paired.mean,
        low=wide.low,
        high=wide.high,
        low_90=narrow.low,
        high_90=narrow.high,
        p=p_value(spread),
        p_sign_flip=sign_flip_p(paired.of_images, paired.patients, flips),
        least_p_sign_flip=least_p(patients),
        t=t,
        p_t=p_t,
        least_p_repeats=least_p(len(paired.repeats)),
        p_equivalence=equivalence_p(spread, MARGIN) if patients >= LEAST_PATIENTS else np.nan,
        p_equivalence_t=p_equivalence_t,
        note=_note(len(paired.repeats), patients, planned),
    )


def over_repeats(paired: Cell) -> tuple[float, float, float]:
    """(t, p, p of equivalence) of paired t-tests over repeats; NaN where a t-test is not defined."""
    values = paired.of_repeats
    if len(values) < 2 or np.ptp(values) <= 1e-12:
        return np.nan, np.nan, np.nan
    result = stats.ttest_1samp(values, 0.0)
    with warnings.catch_warnings():  # statsmodels: "Precision loss", for nearly equal values
        warnings.simplefilter("ignore", RuntimeWarning)
        equivalence = ttost_paired(values, np.zeros_like(values), -MARGIN, MARGIN)[0]
    return float(result.statistic), float(result.pvalue), float(equivalence)


def _note(repeats: int, patients: int, planned: int) -> str:
    notes = []
    if repeats == patients == 1:
        notes.append("one repeat and one patient or image: no interval")
    elif patients == 1:
        notes.append("one patient or image: the interval holds for it only")
    if repeats == 1:
        only = "" if patients == 1 else "the interval holds for these two trainings only, "
        notes.append(f"one repeat: {only}no test over repeats and no verdict, as trainings differ by luck too")
    if repeats == 2:
        notes.append("two repeats: t has one degree of freedom, p < .05 needs |t| > 12.7")
    if 1 < repeats < 6:
        notes.append(
            f"{repeats} pairs: a sign-flip or signed-rank test over repeats never gives p < {least_p(repeats):g}"
        )
    if least_p(patients) > LEVEL:
        units = counted(patients, "patient or image", "patients or images")
        notes.append(f"{units}: the sign-flip p is never below {least_p(patients):g}")
    elif (least := min(1.0, planned * least_p(patients))) > LEVEL:  # the least of them is multiplied by their number
        few = f"{patients} patients or images for {planned} comparisons"
        notes.append(f"{few}: the corrected sign-flip p is never below {least:g}, so none is called better or worse")
    if patients < LEAST_PATIENTS:
        notes.append(f"fewer than {LEAST_PATIENTS} patients or images: equivalence is not tested")
    return "; ".join(notes)


def _correct(rows: list[Comparison]) -> list[Comparison]:
    """Add Holm's corrections; a comparison without a p keeps none but counts in the number of tests."""
    corrected: dict[str, Any] = {}
    for name in ("p", "p_sign_flip", "p_t", "p_equivalence"):
        raw = np.array([getattr(row, name) for row in rows], dtype=np.float64)
        holm = holm_corrected(np.where(np.isnan(raw), 1.0, raw))
        corrected[f"{name}_holm"] = np.where(np.isnan(raw), np.nan, holm).tolist()
    columns = zip(*corrected.values(), strict=True)
    return [
        replace(row, **dict(zip(corrected, values, strict=True))) for row, values in zip(rows, columns, strict=True)
    ]


def holm_corrected(p: Matrix) -> Matrix:
    """Holm's step-down correction. (statsmodels has it, but its `multipletests` runs the garbage collector on every
    call, which takes a second where JAX is loaded.)
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def _judge(row: Comparison) -> Comparison:
    return row if row.repeats == 0 else replace(row, verdict=verdict(row))


def differs(p: float, p_sign_flip: float) -> bool:
    """New trainings on new patients would differ too, and the sign-flip test over patients agrees."""
    return p < LEVEL and p_sign_flip < LEVEL


def verdict(row: Comparison) -> Verdict:
    """Equivalent: the difference is surely less than one Dice point, whatever its sign. Better, worse: they differ,
    after correction; the interval then leaves out 0. Otherwise, and always from one training each: cannot tell.
    """
    if row.p_equivalence_holm < LEVEL:
        return "equivalent"
    if differs(row.p_holm, row.p_sign_flip_holm):
        return "better" if row.difference > 0 else "worse"
    return "cannot tell"
