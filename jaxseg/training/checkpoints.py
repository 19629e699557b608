"""The checkpoints of a run: the two latest to resume from, the best, and the best at each smaller epoch budget."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from jaxseg.errors import InputError, UnreadableError
from jaxseg.run_folder import BEST, LATEST
from jaxseg.storage import arrays
from jaxseg.storage.arrays import Tree
from jaxseg.training.beside import Start
from jaxseg.training.state import TrainState

KEPT = 2  # so that one damaged checkpoint does not lose the run

T = TypeVar("T")
Models = dict[str, tuple[Tree, dict[str, Any]]]  # by name of the checkpoint: the model, and what is kept about it


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints below `folder`.

    Attributes:
        start: carries out a write, at once or beside what follows (see `jaxseg.training.beside`).
        best: what `save_budget` was given.
    """

    folder: Path
    start: Start = lambda write: write()
    best: Models = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the run is trained to its end."""
        return (self.folder / BEST / arrays.MANIFEST).exists()

    def save_latest(self, state: TrainState, about: dict[str, Any]) -> None:
        """Save all that resuming needs, then remove all but the last `KEPT`."""
        tree = _on_host(state).to_tree()

        def write() -> None:
            arrays.save(self.folder / f"{LATEST}{int(tree['step']):08d}", tree, about)
            for former in self._latest()[:-KEPT]:
                shutil.rmtree(former)

        self.start(write)

    def restore_latest(self, like: TrainState, say: Callable[[str], None]) -> TrainState | None:
        """The last checkpoint that is whole; None where there is none.

        Args:
            like: arrays or shapes.
            say: told of each damaged one, which is set aside.

        Raises:
            UnreadableError: the system does not let us read it.
        """
        self._tidy()
        found = self._latest()
        while found:
            folder = found.pop()
            try:
                tree, _ = arrays.load(folder, jax.eval_shape(TrainState.to_tree, like))
                return like.from_tree(tree)
            except UnreadableError:
                raise  # it may be whole
            except InputError as error:
                aside = folder.with_name(f"damaged-{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                folder.replace(aside)
                further = "going on from the checkpoint before" if found else "no other is left: beginning anew"
                say(f"{error}\n  set aside as {aside.name}; {further}")
        return None

    def save_budget(self, name: str, state: TrainState, about: dict[str, Any]) -> None:
        tree = {name: packed.tree() for name, packed in _on_host(state.best()).items()}
        self.best[name] = tree, about
        self.start(lambda: arrays.save(self.folder / name, tree, about))

    def check_budgets(self, names: Iterable[str]) -> None:
        """`InputError` where one that was saved is missing or damaged: a run that goes on does not save it again."""
        run = self.folder.parent
        for name in names:
            remedy = f"delete {run} and repeat the command, which trains the run anew"
            arrays.load(self.folder / name, remedy=remedy)

    def finish(self) -> None:
        """Remove what only resuming needs, and what is no checkpoint."""
        self._tidy()
        for pattern in (f"{LATEST}*", "damaged-*"):
            for former in self.folder.glob(pattern):
                shutil.rmtree(former)

    def _tidy(self) -> None:
        """Remove what a process left half-written when it was killed."""
        for pattern in (".*.part", ".*.former"):
            for left in self.folder.glob(pattern):
                shutil.rmtree(left)

    def _latest(self) -> list[Path]:
        return sorted(self.folder.glob(f"{LATEST}*"))


def _on_host(tree: T) -> T:
    """NumPy arrays of their own: on CPUs JAX hands out views of memory that the next step may write to."""
    return jax.tree.map(lambda leaf: np.require(leaf, requirements="O"), jax.device_get(tree))


class Unsaved(Checkpoints):
    """Those of a process that leaves it to another one to save; there is nothing to restore."""

    def save_latest(self, state: TrainState, about: dict[str, Any]) -> None:
        pass

    def restore_latest(self, like: TrainState, say: Callable[[str], None]) -> None:
        return None

    def save_budget(self, name: str, state: TrainState, about: dict[str, Any]) -> None:
        pass

    def check_budgets(self, names: Iterable[str]) -> None:
        pass
