"""Channel names that are another deployment's: `comet:` with `staging:room` is `comet:staging:` with `room`."""

import pytest

from common.errors import ForeignChannelError
from common.names import ForeignNames, RedisNames

IN_USE = ("comet:", "comet:staging:", "comet:staging:eu:", "comet:x", "other:", "com")


@pytest.fixture
def foreign() -> ForeignNames:
    """Return the names that the deployment `comet:` must leave to others."""
    names = ForeignNames("comet:")
    names.learn(IN_USE)
    return names


@pytest.mark.parametrize(
    ("channel", "owner"),
    [
        ("staging:room", "comet:staging:"),
        ("staging:", "comet:staging:"),
        ("staging:eu:room", "comet:staging:eu:"),
        ("staging:euro", "comet:staging:"),
        ("x", "comet:x"),
        ("xylophone", "comet:x"),
    ],
)
def test_a_name_that_is_anothers_is_refused_by_its_prefix(foreign: ForeignNames, channel: str, owner: str) -> None:
    """It names the longest prefix: in Redis the name is that deployment's."""
    with pytest.raises(ForeignChannelError, match=f"^id: '{channel}' belongs to another deployment .* '{owner}'; "):
        foreign.check(channel)
    name = channel.removeprefix(owner.removeprefix("comet:"))
    assert RedisNames("comet:").channel(channel) == RedisNames(owner).channel(name)


@pytest.mark.parametrize("channel", ["room", "staging", "stagin:room", "Staging:room", "other:room", "comet:staging:x"])
def test_every_other_name_is_ours(foreign: ForeignNames, channel: str) -> None:
    """Prefixes that do not begin with ours, and our own, take no name from us."""
    foreign.check(channel)


def test_a_deployment_that_is_gone_gives_its_names_back(foreign: ForeignNames) -> None:
    """The last that was learned counts; alone, all names are ours."""
    foreign.learn(["comet:"])
    assert foreign.beginnings == ()
    foreign.check("staging:room")
