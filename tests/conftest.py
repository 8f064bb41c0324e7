"""Options that every test may read."""

import os
import signal

import pytest

# Tests start processes: gRPC would begin its threads anew in the child, and end it there before its own time.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def pytest_configure() -> None:
    """A shell starts what it sends to the background with SIGINT ignored, and children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-update", action="store_true", help="write the golden files anew")
    parser.addoption("--transport", default="laneway", help="the transport that is attacked")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a Nacos or Kubernetes server kill it, and connections to it, at any moment.

    A connection that is being made then may be left to the collector by a library, as a socket or as
    asyncio's transport of it. That was seen twice in some thousands of these tests; everywhere else it is an
    error.
    """
    for item in items:
        if item.get_closest_marker("nacos") or item.get_closest_marker("kubernetes"):
            for left in (".*<socket.socket", ".*_SelectorTransport.__del__"):
                ignored = f"ignore:{left}:pytest.PytestUnraisableExceptionWarning"
                item.add_marker(pytest.mark.filterwarnings(ignored))
