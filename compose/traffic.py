#!/usr/bin/env python3
"""Send requests and count the answers: `python3 compose/traffic.py --count 100`. Standard library only.

Answers are counted as whole lines without addresses: the vendor's script looks at the last application alone,
and would not notice a request that left its lane half way. Exits with 1 if any request failed.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import re
import sys
import time
from urllib.parse import urlsplit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://localhost:8080/a")
    parser.add_argument("-H", "--header", action="append", default=[], help="'name: value'; may be repeated")
    parser.add_argument("--count", type=int, default=100, help="how many requests")
    parser.add_argument("--seconds", type=float, default=0, help="send for so long instead")
    parser.add_argument("--rate", type=float, default=0, help="requests a second; as fast as it goes if 0")
    given = parser.parse_args()
    url = urlsplit(given.url)
    headers = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in given.header)

    answers: collections.Counter[str] = collections.Counter()
    failed = sent = 0
    began = time.monotonic()
    while time.monotonic() - began < given.seconds if given.seconds else sent < given.count:
        connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=30)
        try:
            connection.request("GET", url.path or "/", headers=headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace").strip()
            status = str(response.status)
        except OSError as error:
            status, text = type(error).__name__, str(error)
        finally:
            connection.close()
        sent += 1
        if status != "200":
            failed += 1
            text = f"{status}: {text}"
        answers[re.sub(r"\[\d[\d.]*\]", "", text)] += 1
        if given.rate:
            time.sleep(max(0.0, began + sent / given.rate - time.monotonic()))
    for text, count in answers.most_common():
        print(f"{count:6}  {text}")
    print(f"{sent} requests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
