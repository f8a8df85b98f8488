"""The entry point of the command line; a command imports its modules when it runs, so that `--help` is quick."""

from typing import Annotated

import typer

from common.service.version import our_version

MAX_PORT = 64535  # `comet dev` adds 1000 for the internal port

app = typer.Typer(
    name="comet",
    help="A Comet server that scales out: stateless edges hold the connections, Redis carries the messages.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Print the tables of all settings and metrics.", no_args_is_help=True)
app.add_typer(config, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"comet-cluster {our_version()}")
        raise typer.Exit


@app.callback()
def comet(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Handle the options that belong to no command."""


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=MAX_PORT, help="Port of the first edge.")] = 8080,
    second_port: Annotated[int, typer.Option(min=1, max=MAX_PORT, help="Port of the second edge.")] = 8090,
    publisher_port: Annotated[int, typer.Option(min=1, max=MAX_PORT, help="Port of the publisher.")] = 8081,
) -> None:
    """Run a whole cluster on this machine: Valkey, one publisher, two edges. Internal ports are 1000 higher."""
    from comet.dev import run  # noqa: PLC0415
    from comet.ports import Ports  # noqa: PLC0415

    raise typer.Exit(run(Ports(port, second_port, publisher_port)))


@app.command()
def edge() -> None:
    """Run one edge, configured by COMET_* variables; the same as `python -m edge`."""
    from edge.__main__ import main as run_edge  # noqa: PLC0415

    raise typer.Exit(run_edge())


@app.command()
def publisher() -> None:
    """Run one publisher, configured by COMET_* variables; the same as `python -m publisher`."""
    from publisher.__main__ import main as run_publisher  # noqa: PLC0415

    raise typer.Exit(run_publisher())


@app.command()
def health(
    target: Annotated[
        str | None, typer.Argument(metavar="edge|publisher|URL", help="What to ask; by default all that runs here.")
    ] = None,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether the service is ready, not only alive.")] = False,
) -> None:
    """Ask the internal port of a service whether it is healthy; exit with 0 if it is, with 1 if not."""
    from comet.health import check  # noqa: PLC0415

    raise typer.Exit(check(target, ready=ready))


@config.command("docs")
def config_docs() -> None:
    """Print every setting as the Markdown table of docs/settings.md."""
    from comet.reference_tables import settings_table  # noqa: PLC0415

    print(settings_table(), end="")


@config.command("metrics")
def config_metrics() -> None:
    """Print every metric as the Markdown tables of docs/metrics.md."""
    from comet.reference_tables import metrics_tables  # noqa: PLC0415

    print(metrics_tables(), end="")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
