"""Datasets: official files become prepared data, prepared data becomes stacks, stacks are split."""

from jaxseg.datasets.catalogue import DESCRIPTIONS, describe
from jaxseg.datasets.checks import summary
from jaxseg.datasets.description import Description
from jaxseg.datasets.loading import Dataset, Images, InstanceMaps, Outline, damaged, instances, load, open_dataset
from jaxseg.datasets.overlap import prepared_names, shared_with_others
from jaxseg.datasets.prepared import is_prepared, prepared_folder, read_card, task_of
from jaxseg.datasets.preparing import prepare, prepare_folder
from jaxseg.datasets.split import Split, split

__all__ = [
    "DESCRIPTIONS",
    "Dataset",
    "Description",
    "Images",
    "InstanceMaps",
    "Outline",
    "Split",
    "damaged",
    "describe",
    "instances",
    "is_prepared",
    "load",
    "open_dataset",
    "prepare",
    "prepare_folder",
    "prepared_folder",
    "prepared_names",
    "read_card",
    "shared_with_others",
    "split",
    "summary",
    "task_of",
]
