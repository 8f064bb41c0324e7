"""Peers that speak something else than plain HTTP/1.1 requests: each a thread on a listening socket, or gRPC.

python peers.py serve-grpc 10.9.0.8:20001 NAME      answers NAME and the lane headers that it got
python peers.py call-grpc 10.9.0.8:20001 [name=value ...]
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator

Handler = Callable[[socket.socket], None]
METHOD = "/test.Echo/Say"


@contextlib.contextmanager
def serve(address: tuple[str, int], handler: Handler) -> Iterator[None]:
    """`handler` for each connection to `address`, in a thread of its own."""
    listener = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            handler(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(20)
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def greeter(connection: socket.socket) -> None:
    """Speaks first, as MySQL and SMTP do; then echoes."""
    connection.sendall(b"220 hello\r\n")
    while data := connection.recv(4096):
        connection.sendall(data)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            break
        head += data
    return head


def web_socket(name: str) -> Handler:
    """Takes every upgrade, says its name, and echoes what comes."""

    def handle(connection: socket.socket) -> None:
        head = read_head(connection).decode("latin-1").lower()
        if "upgrade: websocket" not in head:
            connection.sendall(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")
            return
        answer = (
            f"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nx-name: {name}"
        )
        connection.sendall(answer.encode() + b"\r\n\r\n")
        while data := connection.recv(4096):
            connection.sendall(data)

    return handle


def _grpc(mode: str, address: str, arguments: list[str]) -> None:
    import grpc

    if mode == "call-grpc":
        with grpc.insecure_channel(address) as channel:
            metadata = [tuple(a.split("=", 1)) for a in arguments]
            call = channel.unary_unary(METHOD, lambda text: text.encode(), bytes.decode)
            try:
                print(call("hello", metadata=metadata, timeout=10))
            except grpc.RpcError as error:
                trailers = dict(error.trailing_metadata() or ())  # type: ignore[attr-defined]
                print(error.code().name, trailers.get("x-laneway-reason"), error.details())  # type: ignore[attr-defined]
        return
    from concurrent.futures import ThreadPoolExecutor

    def say(_: bytes, context: grpc.ServicerContext) -> bytes:
        seen = dict(context.invocation_metadata())
        return f"{arguments[0]} {seen.get('x-lane')} {seen.get('baggage')}".encode()

    class Every(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            return grpc.unary_unary_rpc_method_handler(say)

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Every(),))
    assert server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    _grpc(sys.argv[1], sys.argv[2], sys.argv[3:])
