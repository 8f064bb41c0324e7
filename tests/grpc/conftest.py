"""Fixtures: one mesh a module, and clients of gRPC's C core (Python) and of grpc-go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests import golang
from tests.grpc.harness import HERE, PYTHON, GrpcClient, GrpcMesh
from tests.mesh.conftest import pytest_runtest_makereport  # noqa: F401 (shows logs with a failure)
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, abc

NewClient = Callable[..., GrpcClient]


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """The Go client, built."""
    return [str(golang.build(".", HERE / "go-client", tmp_path_factory.mktemp("go") / "grpc-go-client"))]


@pytest.fixture(scope="module", params=["laneway", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    """The gRPC server of the xDS port."""
    return request.param


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[GrpcMesh]:
    """A -> B -> C, base, and Agray, Cgray, Cred; the lane red has no fallback."""
    mesh = GrpcMesh(tmp_path_factory.mktemp("grpc"))
    mesh.environment["LANEWAY_XDS_TRANSPORT"] = transport
    try:
        abc(mesh, "Agray", "Cgray", "Cred")
        mesh.start(
            route("a", "sc-A"),
            group("order-flow", *APPLICATIONS),
            lane("gray"),
            lane("red", fallback="none"),
            envoys=False,
        )
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture(scope="module")
def clients(mesh: GrpcMesh) -> Iterator[NewClient]:
    """Makes clients, which end with the module. `command` is Python's client unless said."""
    made: list[GrpcClient] = []

    def new(command: Sequence[str] = PYTHON, application: str = "caller", tag: str = "") -> GrpcClient:
        name = f"client-{len(made)}"
        environment = mesh.client_environment(name, application, tag)
        made.append(GrpcClient(command, environment, mesh.directory / f"{name}.log"))
        return made[-1]

    yield new
    for client in made:
        client.stop()


@pytest.fixture(scope="module", params=["python", pytest.param("go", marks=pytest.mark.mesh)])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    """What starts a client of each library."""
    return PYTHON if request.param == "python" else request.getfixturevalue("go_client")


@pytest.fixture(scope="module")
def client(command: Sequence[str], clients: NewClient) -> GrpcClient:
    """A client that belongs to no lane's application."""
    return clients(command)
