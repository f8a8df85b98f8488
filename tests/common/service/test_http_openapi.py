from pathlib import Path

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from common.service.admin import AdminServer
from common.service.http import ApiDocument


async def test_the_file_is_read_at_the_first_request(tmp_path: Path) -> None:
    """A process that is never asked does not pay for it; one that is asked twice reads it once."""
    file = tmp_path / "openapi.json"
    routes = [ApiDocument(file).route]
    server = AdminServer("127.0.0.1", 0, "COMET_EDGE_ADMIN_PORT", lambda: [], CollectorRegistry(), routes)
    await server.start()
    file.write_text('{"openapi":"3.1.0"}\n')
    async with ClientSession() as session:
        for _ in range(2):
            async with session.get(f"http://127.0.0.1:{server.port}/openapi.json") as answer:
                assert (answer.status, answer.content_type) == (200, "application/json")
                assert await answer.json() == {"openapi": "3.1.0"}
            file.unlink(missing_ok=True)
    await server.stop()
