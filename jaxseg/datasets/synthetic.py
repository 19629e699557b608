"""Synthetic tissue of two sites: data for the demo, for tests, and for a first look without any download."""

import functools

from jaxseg import seeds
from jaxseg.datasets.description import Description
from jaxseg.datasets.example import Example, InstanceMap, Pixels
from jaxseg.datasets.stain import SITES
from jaxseg.datasets.tissue import CLASSES, Patient, draw_glands, draw_nuclei, draw_tissue

PATIENTS = {"train": 4, "test": 8}  # of fewer than six test patients no study can tell one weights from another
IMAGES_PER_PATIENT = {"train": 6, "test": 1}
SHAPES = ((160, 160), (150, 168), (168, 152), (160, 144))  # pixels; official sets vary in size as well
_DRAW = {"glands": draw_glands, "nuclei": draw_nuclei, "tissue": draw_tissue}


def _description(task: str, site: str) -> Description:
    counts = {split: PATIENTS[split] * IMAGES_PER_PATIENT[split] for split in PATIENTS}
    return Description(
        name=f"synthetic_{task}_{site}",
        title=f"Synthetic {task} in H&E colours, site {site}",
        task=task,
        counts=counts,
        subsets=counts,
        image_sizes="144-168 x 144-168, drawn by rule",
        licence="CC0-1.0",
        citation="Drawn by jaxseg (jaxseg/datasets/tissue.py).",
        how_to_get="Nothing to get: the images are drawn while preparing.",
        layout="none",
        differences_from_paper="not part of the paper",
        overlap="none",
        classes=CLASSES if task == "tissue" else (),
    )


DESCRIPTIONS = tuple(_description(task, site) for task in _DRAW for site in SITES)


def examples(name: str) -> list[Example]:
    """Examples of one of the synthetic datasets; the same pixels each time (on one kind of machine)."""
    _, task, site = name.split("_")
    return [
        Example(
            id=f"{split}_{patient}_{index}",
            split=split,
            subset=split,
            patient=f"{split}_{patient}",
            read=functools.partial(draw, task, site, f"{split}_{patient}", index),
        )
        for split in ("train", "test")
        for patient in range(PATIENTS[split])
        for index in range(IMAGES_PER_PATIENT[split])
    ]


def draw(task: str, site: str, patient: str, index: int) -> tuple[Pixels, InstanceMap]:
    """One image and its instance map (tissue: class map); a patient's images share stain strength and shapes."""
    person = Patient.draw(seeds.generator("patient", task, site, patient))
    rng = seeds.generator("tissue", task, site, patient, index)
    shape = SHAPES[rng.integers(len(SHAPES))]
    return _DRAW[task](shape, person, SITES[site], rng)
