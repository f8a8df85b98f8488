"""The errors of the project.

    CometError
    ├── RequestError         a request that cannot be served; carries an HTTP status
    │   ├── BadRequestError    400, the request is wrong: the sentence names the field
    │   ├── ForeignChannelError 403, the channel belongs to another deployment on this Redis
    │   ├── UnauthorizedError  401, a key is needed
    │   ├── TooLargeError      413, the message is over COMET_MAX_MESSAGE_BYTES
    │   ├── LimitError         429, more is under way than a limit allows; the same request may work later
    │   └── UnavailableError   503, a dependency is down; the same request may work later
    ├── FrameError           a framed message in Redis that cannot be read
    ├── SettingsError        a setting stops the process at start; the sentence names the variable
    └── WrongServerError     the Redis server of a connection is proved to be one that the work must not go to

Every message is one sentence for people: what is wrong, what was expected, what to do.
"""

import errno


class CometError(Exception):
    """The root of the project's errors."""


class RequestError(CometError):
    """A request that is answered with an error status and one sentence; `limit` names the setting that it crosses."""

    status = 400
    retry_after = 0  # seconds after which to try again; 0: that is not known, or cannot help

    def __init__(self, sentence: str, status: int | None = None, limit: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.limit = limit
        if status is not None:
            self.status = status


class BadRequestError(RequestError):
    """The request itself is wrong; sending it again cannot help."""


class ForeignChannelError(RequestError):
    """The channel's name in Redis belongs to another deployment, whose prefix is longer."""

    status = 403


class UnauthorizedError(RequestError):
    """The request needs a key and has none, or a wrong one."""

    status = 401


class TooLargeError(RequestError):
    """The message is larger than this deployment allows."""

    status = 413


class LimitError(RequestError):
    """More is under way than a limit allows; `limit` names it in `comet_refused_total`."""

    status = 429

    def __init__(self, sentence: str, limit: str, retry_after: int = 0) -> None:
        super().__init__(sentence, limit=limit)
        self.retry_after = retry_after


class UnavailableError(RequestError):
    """A dependency does not answer; `retry_after` is the number of seconds after which to try again."""

    status = 503

    def __init__(self, sentence: str, retry_after: int = 1) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class FrameError(CometError):
    """A message in Redis that starts like a frame and is not one."""


class SettingsError(CometError):
    """A setting that cannot be used; the process must not start with it."""


def cannot_listen(variable: str, host: str, port: int, error: OSError | UnicodeError) -> SettingsError:
    """Return the error of a failed listen; `variable` is the full name of the port's setting."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return SettingsError(f"{variable}={port}: the port is taken; stop the other program or choose another port")
    if number == errno.EACCES:
        return SettingsError(f"{variable}={port}: this user may not listen on it; choose a port from 1024 on")
    where = "COMET_ADMIN_HOST" if "_ADMIN_" in variable else variable.removesuffix("PORT") + "HOST"
    return SettingsError(f"{where}={host}: this is not an address of this machine; :: stands for all of them")


class WrongServerError(CometError):
    """It is proved that the work must not go to the Redis server of a connection; the sentence says what was found."""
