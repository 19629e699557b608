"""`python -m weights_convert`: on the CPU, whatever else the machine has."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported: a conversion must not take a GPU from a training

from jaxseg.command import command
from jaxseg.logs import tell_disk_errors_once
from weights_convert.cli import main

if __name__ == "__main__":
    tell_disk_errors_once()
    command(main)
