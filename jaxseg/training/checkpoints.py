"""The checkpoints of a run: the two latest to resume from, the best, and the best at each smaller epoch budget."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxseg import arrays
from jaxseg.errors import InputError
from jaxseg.training.state import TrainState

KEPT = 2  # so that one damaged checkpoint does not lose the run
BEST = "best"


def budget_name(epochs: int, last: int) -> str:
    """Folder of the best model within an epoch budget; the whole run's is called "best"."""
    return BEST if epochs == last else f"epochs-{epochs:06d}"


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints below `folder`."""

    folder: Path

    def save_latest(self, state: TrainState, about: dict[str, Any]) -> None:
        """Save all that resuming needs, then remove all but the last `KEPT`."""
        tree = jax.device_get(state.to_tree())
        arrays.save(self.folder / f"latest-{int(tree['step']):08d}", tree, about)
        for former in self._latest()[:-KEPT]:
            shutil.rmtree(former)

    def restore_latest(self, like: TrainState) -> tuple[TrainState, dict[str, Any], list[str]] | None:
        """The last checkpoint that is whole, with messages about damaged ones, which are set aside."""
        messages: list[str] = []
        for folder in reversed(self._latest()):
            try:
                tree, about = arrays.load(folder, like.to_tree())
                return TrainState.from_tree(tree), about, messages
            except InputError as error:
                aside = folder.with_name(f"damaged-{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                folder.replace(aside)
                messages.append(f"{error}\n  set aside as {aside.name}; going on from the checkpoint before")
        return None

    def save_budget(self, name: str, state: TrainState, about: dict[str, Any]) -> None:
        arrays.save(self.folder / name, jax.device_get(state.best()), about)

    def finish(self) -> None:
        """Remove what only resuming needs."""
        for former in self._latest():
            shutil.rmtree(former)

    def _latest(self) -> list[Path]:
        return sorted(self.folder.glob("latest-*"))


class Unsaved(Checkpoints):
    """Those of a process that leaves it to another one to save; there is nothing to restore."""

    def save_latest(self, state: TrainState, about: dict[str, Any]) -> None:
        pass

    def restore_latest(self, like: TrainState) -> None:
        return None

    def save_budget(self, name: str, state: TrainState, about: dict[str, Any]) -> None:
        pass
