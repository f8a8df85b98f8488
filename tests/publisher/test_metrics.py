from common.service.version import our_build
from tests.publisher.conftest import Client


async def test_results_are_counted_by_code(client: Client) -> None:
    """`/metrics` has the publisher's series, and each message counts with its own code."""
    await client.get("/pub?id=1&content=hi")
    await client.post([{"id": "1", "content": "a"}, {"id": "1"}])
    await client.get("/pub")
    _, text = await client.admin("/metrics")
    for line in (
        'comet_publish_total{code="200",source="http"} 1.0',
        'comet_publish_total{code="400",source="http"} 2.0',
        'comet_publish_total{code="404",source="http"} 1.0',
        "comet_publish_duration_seconds_count 2.0",
        "comet_redis_up 1.0",
        "comet_redis_reconnects_total 0.0",
    ):
        assert line in text
    assert f'comet_build_info{{build="{our_build()}",' in text
