"""What fails while the rest goes on: printed at once, and named in the end."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Failures:
    """Names of what failed."""

    names: list[str] = field(default_factory=list)

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Go on after the block, whatever error it raises."""
        try:
            yield
        except Exception:
            traceback.print_exc()
            self.names.append(name)

    def end(self) -> None:
        """Raise where anything failed, which ends the process with an exit code."""
        if self.names:
            raise RuntimeError(f"failed: {'; '.join(self.names)}")
