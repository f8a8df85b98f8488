"""The text that `comet dev` prints: the addresses of all processes, and commands to copy that work as they are."""

import os
import shutil
import sys

from comet.ports import ADMIN_OFFSET, Ports

TEXT = """\
Two edges, one publisher and one Valkey run on this machine. Ctrl-C ends them all.

  edge       http://localhost:{a:<6} internal http://localhost:{a_admin}/metrics
  edge       http://localhost:{b:<6} internal http://localhost:{b_admin}/metrics
  publisher  http://localhost:{p:<6} internal http://localhost:{p_admin}/metrics
  valkey     redis://localhost:{redis}

See messages move, through both edges, in a browser:
  demo           http://localhost:{p}/
  chat           http://localhost:{p}/chat

Subscribe, each line in a terminal of its own:
  stream         curl -N 'localhost:{a}/sub?id=1'
  other edge     curl -N 'localhost:{b}/sub?id=1'
  SSE            curl -N -H 'Accept: text/event-stream' 'localhost:{a}/sub?id=1'
  long-poll      curl 'localhost:{a}/sub?id=1&transport=poll'
  JSONP          curl 'localhost:{a}/sub?id=1&callback=show'

Publish:
  HTTP           curl 'localhost:{p}/pub?id=1&content=hi'
  plain PUBLISH  {publish}

ready"""


def instructions(ports: Ports, redis: int) -> str:
    """Return the text for a running development cluster; its last line is `ready`."""
    a, b, p = ports
    return TEXT.format(
        a=a,
        a_admin=a + ADMIN_OFFSET,
        b=b,
        b_admin=b + ADMIN_OFFSET,
        p=p,
        p_admin=p + ADMIN_OFFSET,
        redis=redis,
        publish=publish_line(redis, os.environ.get("COMET_PREFIX", "comet:") + "1"),
    )


def publish_line(redis: int, channel: str) -> str:
    """Return a command that publishes on this machine; the Valkey of the wheel comes without a command line client."""
    for client in ("redis-cli", "valkey-cli"):
        if shutil.which(client):
            return f"{client} -p {redis} PUBLISH {channel} hi"
    return f"{sys.executable} -c \"import redis; redis.Redis(port={redis}).publish('{channel}', 'hi')\""
