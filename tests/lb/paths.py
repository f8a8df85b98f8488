"""Which paths are public, and whose they are: the same for every load balancer and every route of Kubernetes."""

FOR_EDGES = ("/sub", "/stream", "/sse", "/poll", "/jsonp", "/iframe", "/ws", "/sub/3f2a.Xy_-9")
FOR_THE_PUBLISHER = ("/static/comet.js", "/static/img/logo.v2.svg")
FOR_THE_DEMO = ("/", "/chat", "/demo/pub", "/demo/config.json")  # the publisher's, too, where the demo is on
FOR_NO_SERVICE = (
    "/pub",
    "/pub/",
    "/broadcast",
    "/info",
    "/close",
    "/check",
    "/admin",
    "/admin/",
    "/metrics",
    "/readyz",
    "/healthz",
    "/drain",
    "/stats",
    "/nothing",
)
# Ways to write /pub that a proxy and the server behind it might understand differently.
WALKS = (
    "//pub",
    "/./pub",
    "/%70ub",
    "/static/../pub",
    "/static/%2e%2e/pub",
    "/static/..%2fpub",
    "/static/a/../../pub",
    "/demo/../pub",
    "/chat/../pub",
    "/sub/../pub",
    "/static/..\\pub",
    "/pub;/static/x",
    "http://localhost/pub",
)
