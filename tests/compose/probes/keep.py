"""keep.py ADDRESS SECONDS: requests in the lane gray over one kept connection, and who answered, in order."""

import http.client
import json
import sys
import time

address, seconds = sys.argv[1], float(sys.argv[2])
connection = http.client.HTTPConnection(address, 7002, timeout=10)
order, failed, opened, sent = [], 0, 0, 0
deadline = time.monotonic() + seconds
while time.monotonic() < deadline:
    if connection.sock is None:
        opened += 1
    connection.request("GET", "/", headers={"x-lane": "gray", "Host": "anything"})
    answer = connection.getresponse()
    body = answer.read()
    sent += 1
    if answer.status != 200:
        failed += 1
    else:
        name = json.loads(body)["peer"]
        if order[-1:] != [name]:
            order.append(name)
    time.sleep(0.05)
print(json.dumps({"sent": sent, "failed": failed, "connections": opened, "order": order}))
