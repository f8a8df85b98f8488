"""Pages of other origins, and pages whose name leads to a publisher: none of their orders is carried out."""

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.publisher.conftest import NO_REDIS, Client, eventually, running

KEY = "a-key-of-16-chars"
HOME, EVIL = "https://app.example", "https://evil.example"
ORDERS = [
    ("GET", "/pub?id=1&content=x"),
    ("GET", "/%70ub?id=1&content=x"),
    ("POST", "/pub?id=1&content=x"),
    ("POST", "/broadcast?content=x"),
    ("POST", "/close?id=1"),
    ("POST", "/demo/pub"),
    ("DELETE", "/nowhere"),
]
READS = ["/info", "/check?id=1", "/admin/edges", "/admin", "/nowhere"]
OF_THE_DEMO = ["/", "/chat", "/demo/config.json", "/static/comet.js"]


@pytest.fixture(params=[False, True], ids=["no key", "with a key"])
async def either(request: pytest.FixtureRequest, valkey_url: str, prefix: str) -> AsyncIterator[Client]:
    """Yield clients of publishers with and without a key, which have a list of origins, and the demo."""
    settings = {"publish_keys": (KEY,) if request.param else (), "allowed_origins": (HOME,), "demo": True}
    async with running(redis_url=valkey_url, prefix=prefix, **settings) as it:
        await eventually(it.ready)
        yield it


async def status(client: Client, method: str, target: str, **headers: str) -> int:
    """Return the status of an answer, which is JSON if it is an error; headers are named with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer, text = await client.request(method, target, headers={"Authorization": f"Bearer {KEY}"} | named)
    if answer.status in {403, 421}:
        assert json.loads(text)["code"] == answer.status
    return answer.status


@pytest.mark.parametrize(("method", "target"), ORDERS)
async def test_foreign_pages_give_no_orders(either: Client, method: str, target: str) -> None:
    """With or without a key: by Sec-Fetch-Site, else by Origin."""
    assert await status(either, method, target, sec_fetch_site="cross-site") == 403
    assert await status(either, method, target, sec_fetch_site="cross-site", Origin=HOME) == 403
    for site in ("same-site", "future-site"):
        assert await status(either, method, target, sec_fetch_site=site, Origin=EVIL) == 403
    assert await status(either, method, target, Origin=EVIL) == 403
    assert await status(either, method, target, Origin="null") == 403


@pytest.mark.parametrize(("method", "target"), ORDERS)
async def test_other_orders_are_as_before(either: Client, method: str, target: str) -> None:
    """Of backends, of this server's own pages, and of pages on the list."""
    own = f"http://127.0.0.1:{either.port}"
    said: list[dict[str, str]] = [
        {},
        {"Origin": own},
        {"Origin": HOME},
        {"sec_fetch_site": "same-origin", "Origin": own},
        {"sec_fetch_site": "same-site", "Origin": HOME},
        {"sec_fetch_site": "none"},
    ]
    found = [await status(either, method, target, **headers) for headers in said]
    assert set(found) == {found[0]}
    assert found[0] not in {401, 403, 421}


async def test_a_refusal_comes_before_the_question_for_a_key(either: Client) -> None:
    """A stranger's page learns nothing of keys."""
    answer, _ = await either.request("POST", "/close?id=1", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403


@pytest.mark.parametrize("target", READS)
async def test_who_only_reads_is_not_asked_for_its_page(either: Client, target: str) -> None:
    """No page of another origin can read the answer."""
    assert await status(either, "GET", target, sec_fetch_site="cross-site", Origin=EVIL) in {200, 404}


async def test_refused_orders_are_counted(client: Client) -> None:
    """All of them, and those to publish with the other refused messages, too."""
    for target in ("/pub?id=1&content=x", "/close?id=1"):
        assert await status(client, "POST", target, Origin=EVIL) == 403
        assert await status(client, "POST", target, Host="evil.test") == 421
    _, text = await client.admin("/metrics")
    for code in (403, 421):
        assert f'comet_foreign_requests_total{{code="{code}"}} 2.0' in text
        assert f'comet_publish_total{{code="{code}",source="http"}} 1.0' in text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": EVIL}, 403),
        ({"Host": "evil.test", "Sec-Fetch-Site": "same-origin"}, 421),
    ],
)
async def test_pages_do_not_drain_a_publisher(either: Client, headers: dict[str, str], status: int) -> None:
    """Its internal port refuses them with and without a key: it asks for none."""
    port = either.publisher.admin_port
    async with ClientSession() as session, session.post(f"http://127.0.0.1:{port}/drain", headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, status)
    assert await either.ready()


# Names.


@pytest.mark.parametrize(("method", "target"), [*ORDERS[:5], *[("GET", target) for target in READS]])
async def test_under_another_name_the_api_is_not_here(client: Client, method: str, target: str) -> None:
    """A page whose name leads here has this server for its own; the answer names the setting."""
    answer, text = await client.request(method, target, headers={"Host": "evil.test", "Sec-Fetch-Site": "same-origin"})
    assert (answer.status, "COMET_HOSTS" in json.loads(text)["content"]) == (421, True)


@pytest.mark.parametrize("target", [*OF_THE_DEMO, "/healthz", "/readyz", "/metrics"])
async def test_pages_for_everybody_are_served_under_any_name(client: Client, target: str) -> None:
    """A load balancer shows them under the site's name; and probes have names of their own."""
    assert await status(client, "GET", target, Host="www.shop.example") in {200, 404}


async def test_the_demo_publishes_under_any_name(client: Client) -> None:
    """Behind a balancer whose name nobody told the publisher, from its own page."""
    headers = {"Host": "www.shop.example:8000", "Origin": "http://www.shop.example:8000"}
    answer, _ = await client.request("POST", "/demo/pub", json={"id": "demo", "content": "x"}, headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:8081", "localhost:8081", "publisher:8081", "comet.a.svc:8081"])
async def test_usual_names_need_no_setting(client: Client, host: str) -> None:
    """Those of Compose and Kubernetes among them."""
    assert await status(client, "GET", "/info", Host=host) == 200


async def test_names_may_be_added(valkey_url: str, prefix: str) -> None:
    """By COMET_HOSTS."""
    async with running(redis_url=valkey_url, prefix=prefix, hosts=("push.example.com",), demo=True) as it:
        assert await status(it, "GET", "/demo/config.json", Host="push.example.com") == 200
        assert await status(it, "POST", "/pub", Host="push.example.com") == 400
        assert await status(it, "POST", "/pub", Host="evil.test") == 421


async def test_with_keys_every_name_is_good(valkey_url: str, prefix: str) -> None:
    """A page that has its name lead here has no key."""
    async with running(redis_url=valkey_url, prefix=prefix, publish_keys=(KEY,)) as it:
        assert await status(it, "POST", "/pub", Host="push.example.com") == 400


async def test_what_needs_a_key_is_here_under_every_name(prefix: str) -> None:
    """Where operators alone have keys, their paths need one and their page asks for it; publishing is open to all."""
    async with running(redis_url=NO_REDIS, prefix=prefix, admin_keys=(f"ops:{KEY}",)) as it:
        for method, target in (*ORDERS[3:5], *[("GET", target) for target in READS[:3]]):
            assert await status(it, method, target, Host="push.example.com") == 503
            answer, _ = await it.request(method, target, headers={"Host": "push.example.com"})
            assert answer.status == 401
        assert await status(it, "GET", "/admin", Host="push.example.com") == 200
        for method, target in ORDERS[:3]:
            assert await status(it, method, target, Host="push.example.com") == 421
