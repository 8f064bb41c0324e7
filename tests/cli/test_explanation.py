"""What `laneway explain` writes of the port, the headers and the retries."""

from __future__ import annotations

from controlplane.cli.explanation import parts


def test_every_part_has_a_line() -> None:
    listener = {"port": 8443, "addresses": ["0.0.0.0", "::"], "certificate": "secret main", "http3": 443}
    result = {
        "listener": {**listener, "proxy_protocol": True},
        "request_headers": [{"change": "remove", "name": "x-debug", "by": "route"}],
        "response_headers": [
            {"change": "set", "name": "x-lane", "value": "gray", "by": "lane"},
            {"change": "add", "name": "vary", "value": "origin", "by": "cors"},
        ],
        "cors_allowed": False,
        "retries": {"conditions": ["5xx"], "statuses": [429], "tries": 3, "per_try_timeout": 0.5},
        "keeps_request_id": True,
        "access_log": "/dev/stdout as json; of 100 % of the requests",
        "tracing": "otel:4317 by OTLP; of 1 % of the requests",
    }
    assert list(parts(result)) == [
        "port   8443 at 0.0.0.0, ::, TLS with secret main, HTTP/3 on port 443, PROXY protocol",
        "header the service gets: no x-debug  (route)",
        "header the client gets: x-lane: gray  (lane)",
        "header the client gets: also vary: origin  (cors)",
        "cors   pages of the request's Origin may not read the answer",
        "tries  at most 3 times after 5xx, 429; each try within 0.5 s",
        "id     the application gets the x-request-id that arrived",
        "log    /dev/stdout as json; of 100 % of the requests",
        "spans  otel:4317 by OTLP; of 1 % of the requests",
    ]
    assert list(parts({})) == []
