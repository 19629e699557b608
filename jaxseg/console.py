"""Where commands print to."""

import rich.console


class Console(rich.console.Console):
    """Rich's, but that the command hears of it where nobody reads on (see `jaxseg.command`); Rich's ends it with 1."""

    def on_broken_pipe(self) -> None:
        raise
