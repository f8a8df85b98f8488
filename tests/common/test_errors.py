import errno

import pytest

from common.errors import (
    BadRequestError,
    CometError,
    FrameError,
    LimitError,
    RequestError,
    SettingsError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    cannot_listen,
)

PORT = "COMET_EDGE_PORT"
NOT_HERE = "this is not an address of this machine; :: stands for all of them"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestError("no"), 400),
        (RequestError("no", 404), 404),
        (BadRequestError("no"), 400),
        (UnauthorizedError("no"), 401),
        (TooLargeError("no"), 413),
        (LimitError("no", "any"), 429),
        (UnavailableError("no"), 503),
    ],
)
def test_an_error_of_a_request_has_a_status_and_a_sentence(error: RequestError, status: int) -> None:
    """The status is that of its class unless another one is given."""
    assert (error.status, error.sentence, str(error)) == (status, "no", "no")


def test_an_unavailable_dependency_is_tried_again_in_a_second() -> None:
    """Or in as many as are given."""
    assert UnavailableError("no").retry_after == 1
    assert UnavailableError("no", retry_after=10).retry_after == 10
    assert (LimitError("no", "any").retry_after, LimitError("no", "any", 7).retry_after) == (0, 7)


@pytest.mark.parametrize("kind", [RequestError, FrameError, SettingsError])
def test_all_errors_have_one_root(kind: type[Exception]) -> None:
    """A caller can catch all of the project's errors, and no others."""
    assert issubclass(kind, CometError)
    assert not issubclass(CometError, (OSError, ValueError))


@pytest.mark.parametrize(
    ("variable", "error", "line"),
    [
        (
            PORT,
            OSError(errno.EADDRINUSE, "x"),
            f"{PORT}=80: the port is taken; stop the other program or choose another port",
        ),
        (
            PORT,
            OSError(errno.EACCES, "x"),
            f"{PORT}=80: this user may not listen on it; choose a port from 1024 on",
        ),
        (PORT, OSError(errno.EADDRNOTAVAIL, "x"), f"COMET_EDGE_HOST=h: {NOT_HERE}"),
        (PORT, UnicodeError("x"), f"COMET_EDGE_HOST=h: {NOT_HERE}"),
        ("COMET_EDGE_ADMIN_PORT", OSError(errno.EADDRNOTAVAIL, "x"), f"COMET_ADMIN_HOST=h: {NOT_HERE}"),
    ],
)
def test_a_failed_listen_names_the_setting_that_is_wrong(
    variable: str, error: OSError | UnicodeError, line: str
) -> None:
    """The port if it cannot be had, else the host; both admin ports share one host."""
    assert str(cannot_listen(variable, "h", 80, error)) == line
