"""What can go wrong, said so that the reader can mend it: file, value found, value expected, remedy."""

from pathlib import Path


class JaxsegError(Exception):
    """Base of all expected errors; `exit_code` is what a command ends with (README.md lists them)."""

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.file, self.found, self.expected, self.remedy = problem, file, found, expected, remedy
        parts = [problem if file is None else f"{file}: {problem}"]
        if found is not None:
            parts.append(f"  found:    {found}")
        if expected is not None:
            parts.append(f"  expected: {expected}")
        if remedy is not None:
            parts.append(f"  remedy:   {remedy}")
        super().__init__("\n".join(parts))


class UsageError(JaxsegError):
    """Wrong option, wrong configuration, unknown name."""

    exit_code = 2


class InputError(JaxsegError):
    """Data or weights that are missing or bad."""

    exit_code = 3


class UnreadableError(InputError):
    """Files that the system does not let us read, which says nothing of what they hold."""


class DeviceError(JaxsegError):
    """A GPU that cannot be used or failed at its work, which another GPU, or another process, may do."""

    exit_code = 4


class RunsFailedError(JaxsegError):
    """Some runs of a study failed; the message names them."""

    exit_code = 4


class StoppedError(JaxsegError):
    """Stopped, on request or because what it needs was ended from outside; repeating the command resumes."""

    exit_code = 75
