"""A real, standalone Nacos server on loopback for tests, out of Maven Central.

Upstream publishes clients only; what stands on Central are rebuilds of the server by the pig-mesh team. The
jars and the compiled main class are kept below a cache directory (LANEWAY_NACOS_CACHE, else the user's
cache), so the download happens once. Needs a JDK and Maven.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import ports, require

VERSIONS = ("2.3.2-OEM", "3.1.0-bugfix")
OLD_VERSION = "2.1.1"
"""Has no raft: metadata edits and persistent instances fail; the configuration service works."""
USERS_SERVER = "LANEWAY_TEST_NACOS"
"""Variable with host:port of a running server, used in place of starting one."""

_PARTS = {
    "2.1": ("io.springboot.nacos", ("nacos-naming", "nacos-config", "nacos-plugin-default-impl")),
    "2.3": ("group.springframework.nacos", ("nacos-naming", "nacos-config", "nacos-default-plugin-all")),
    "3.1": ("io.github.pig-mesh.nacos", ("nacos-server",)),
}
_MAIN = {"2": "com.alibaba.nacos.Nacos", "3": "com.alibaba.nacos.bootstrap.NacosUp"}
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

_MAIN_2 = """package com.alibaba.nacos;
import com.alibaba.nacos.core.code.ControllerMethodsCache;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.servlet.ServletComponentScan;
import org.springframework.context.annotation.Bean;
import org.springframework.scheduling.annotation.EnableScheduling;
@SpringBootApplication(scanBasePackages = "com.alibaba.nacos")
@ServletComponentScan
@EnableScheduling
public class Nacos {
    public static void main(String[] args) { SpringApplication.run(Nacos.class, args); }
    /** The filter of authentication looks controllers up here. */
    @Bean
    public Object controllerMethods(ControllerMethodsCache cache) {
        cache.initClassMethod("com.alibaba.nacos.core.controller");
        cache.initClassMethod("com.alibaba.nacos.naming.controllers");
        cache.initClassMethod("com.alibaba.nacos.config.server.controller");
        return new Object();
    }
}
"""

_MAIN_3 = """package com.alibaba.nacos.bootstrap;
import com.alibaba.nacos.NacosServerBasicApplication;
import com.alibaba.nacos.NacosServerWebApplication;
import com.alibaba.nacos.core.listener.startup.NacosStartUp;
import com.alibaba.nacos.core.listener.startup.NacosStartUpManager;
import com.alibaba.nacos.sys.env.DeploymentType;
import com.alibaba.nacos.sys.env.EnvUtil;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
/** Core and server web; the third context, the console, is left out. */
public class NacosUp {
    public static void main(String[] args) {
        EnvUtil.setDeploymentType(DeploymentType.SERVER);
        NacosStartUpManager.start(NacosStartUp.CORE_START_UP_PHASE);
        var core = new SpringApplicationBuilder(NacosServerBasicApplication.class)
            .web(WebApplicationType.NONE).run(args);
        NacosStartUpManager.start(NacosStartUp.WEB_START_UP_PHASE);
        new SpringApplicationBuilder(NacosServerWebApplication.class).parent(core).run(args);
    }
}
"""


class CannotStart(Exception):
    """Why there is no server, in words for a skipped test."""


def cache_dir() -> Path:
    """Where jars are kept."""
    if chosen := os.environ.get("LANEWAY_NACOS_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laneway" / "nacos"


def prepare(version: str) -> tuple[Path, Path]:
    """The directories of jars and of compiled classes, made on the first call. Raises CannotStart."""
    for tool in ("java", "javac", "mvn"):
        if shutil.which(tool) is None:
            raise CannotStart(
                f"{tool} is not installed; set {USERS_SERVER}=host:port to use a running server"
            )
    root = cache_dir() / version
    lib, classes = root / "lib", root / "classes"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        if not (root / "done").exists():
            _download(version, root, lib)
            _compile(version, root, lib, classes)
            (root / "done").touch()
    return lib, classes


def _download(version: str, root: Path, lib: Path) -> None:
    group, artifacts = _PARTS[version[:3]]
    wanted = [f"<groupId>{group}</groupId><artifactId>{a}</artifactId>" for a in artifacts]
    if version[0] == "2":
        boot = "org.springframework.boot"
        wanted.append(f"<groupId>{boot}</groupId><artifactId>spring-boot-starter-security</artifactId>")
    (root / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>local</groupId><artifactId>nacos</artifactId><version>1</version>"
        "<packaging>pom</packaging><dependencyManagement><dependencies><dependency>"
        f"<groupId>{group}</groupId><artifactId>nacos-all</artifactId><version>{version}</version>"
        "<type>pom</type><scope>import</scope></dependency></dependencies></dependencyManagement><dependencies>"
        + "".join(
            f"<dependency>{w}" + (f"<version>{version}</version>" if group in w else "") + "</dependency>"
            for w in wanted
        )
        + "</dependencies></project>"
    )
    options = [f"-DoutputDirectory={lib}", "-DincludeScope=runtime"]
    _run(["mvn", "-q", "-B", "-f", str(root / "pom.xml"), _COPY, *options])


def _compile(version: str, root: Path, lib: Path, classes: Path) -> None:
    main = _MAIN[version[0]]
    source = root / "src" / f"{main.rpartition('.')[2]}.java"
    source.parent.mkdir(exist_ok=True)
    source.write_text(_MAIN_2 if version[0] == "2" else _MAIN_3)
    _run(["javac", "-nowarn", "-proc:none", "-cp", f"{lib}/*", "-d", str(classes), str(source)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise CannotStart(f"{command[0]} failed: {(done.stdout + done.stderr)[-800:]}")


def free_port() -> int:
    """A port whose neighbours for HTTP, gRPC of clients and of peers, and raft are free, too."""
    return ports.free_port(1000, 1001, -1000)


@dataclass
class NacosServer:
    """A server of its own process; `start` after `kill` or `stop` brings it back with what was on disk."""

    version: str
    home: Path
    port: int = field(default_factory=free_port)
    auth: bool = False
    token_seconds: int = 18000
    properties: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, patience: float = 120.0) -> None:
        """Start and wait until it serves. Raises CannotStart.

        On a busy machine its embedded database may miss a deadline of 10 s, which ends it: then once more.
        """
        for attempt in (1, 2, 3):
            try:
                return self._start_once(patience)
            except CannotStart as error:
                if attempt == 3 or "Login timeout exceeded" not in str(error):
                    raise

    def _start_once(self, patience: float) -> None:
        lib, classes = prepare(self.version)
        database = self.home / "data" / "derby-data"
        if not (database / "service.properties").exists():  # none, or one that was given up half way
            shutil.rmtree(database, ignore_errors=True)
        for folder in ("conf", "logs", "data"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / "conf" / "application.properties").write_text(self._properties())
        out = self.home / "logs" / "stdout.log"
        with out.open("wb") as sink:
            self.process = subprocess.Popen(
                self._command(lib, classes),
                cwd=self.home,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + patience
        while not self._ready():
            if self.process.poll() is not None:
                said = out.read_text(errors="replace")
                why = "Login timeout exceeded" if "Login timeout exceeded" in said else said[-800:]
                raise CannotStart(f"Nacos ended with status {self.process.returncode}: {why}")
            if time.monotonic() > deadline:
                self.kill()
                raise CannotStart(f"Nacos was not ready in {patience:.0f} s")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End it as an operator would."""
        self.signal(signal.SIGTERM)
        self._wait()

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def set_password(self, password: str, old: str = "") -> None:
        """Make the user nacos, or change its password from `old`."""
        users = "v3/auth/user" if self.version[0] == "3" else "v1/auth/users"
        if old:
            login = self.http("POST", f"{users}/login", f"username=nacos&password={old}")
            token = json.loads(login)["accessToken"]
            self.http("PUT", f"{users}?username=nacos&newPassword={password}&accessToken={token}")
        else:
            self.http("POST", f"{users}/admin", f"password={password}")

    def http(self, method: str, path: str, form: str = "") -> str:
        """The body of the answer to a request below /nacos/."""
        url = f"http://{self.address}/nacos/{path}"
        request = urllib.request.Request(url, form.encode() or None, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refusal:
            refusal.close()
            raise

    def wait_for_subscribers(self, service: str, count: int, patience: float = 90.0) -> None:
        """Return when so many clients are subscribed to `service`. Raises TimeoutError."""
        path = f"v1/ns/service/subscribers?serviceName={service}"
        if self.version[0] == "3":
            path = f"v3/admin/ns/service/subscribers?serviceName={service}&pageNo=1&pageSize=10"
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = json.loads(self.http("GET", path))
            if (found["data"]["totalCount"] if self.version[0] == "3" else found["count"]) == count:
                return
            time.sleep(0.5)
        raise TimeoutError(f"{service} has not {count} subscribers")

    def _wait(self) -> None:
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def _ready(self) -> bool:
        old = self.version[0] == "2"
        path = "/nacos/v1/ns/operator/metrics" if old else "/nacos/v3/admin/core/state/readiness"
        mark = b'"status":"UP"' if old else b'"code":0'
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=2) as answer:
                if mark not in answer.read():
                    return False
            socket.create_connection(("127.0.0.1", self.port + 1000), 1).close()
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return False
        except OSError:
            return False
        return True

    def _properties(self) -> str:
        key = base64.b64encode(b"for-tests-only-0123456789-abcdefghijklmnop").decode()
        boot = "org.springframework.boot.autoconfigure.jdbc"
        on = str(self.auth).lower()
        return "\n".join(
            [
                f"server.port={self.port}",
                "server.address=127.0.0.1",
                "server.servlet.contextPath=/nacos",
                "server.error.include-message=ALWAYS",
                f"server.tomcat.basedir=file:{self.home}",
                f"nacos.logs.path={self.home}/logs",
                f"spring.autoconfigure.exclude={boot}.DataSourceAutoConfiguration,"
                f"{boot}.DataSourceTransactionManagerAutoConfiguration",
                f"nacos.server.main.port={self.port}",
                "nacos.core.auth.system.type=nacos",
                f"nacos.core.auth.enabled={on}",
                f"nacos.core.auth.admin.enabled={on}",
                f"nacos.core.auth.console.enabled={on}",
                "nacos.core.auth.caching.enabled=false",
                "nacos.core.auth.enable.userAgentAuthWhite=false",
                "nacos.core.auth.server.identity.key=serverIdentity",
                "nacos.core.auth.server.identity.value=security",
                f"nacos.core.auth.plugin.nacos.token.secret.key={key}",
                f"nacos.core.auth.plugin.nacos.token.expire.seconds={self.token_seconds}",
                "nacos.security.ignore.urls=/,/error,/v1/auth/**,/v1/ns/**,/v1/cs/**,/v1/core/**,/v2/**",
                "nacos.istio.mcp.server.enabled=false",
                "nacos.k8s.sync.enabled=false",
                "management.metrics.export.elastic.enabled=false",
                "management.metrics.export.influx.enabled=false",
                *self.properties,
            ]
        )

    def _command(self, lib: Path, classes: Path) -> list[str]:
        # Two jars carry com.caucho.hessian and both are needed; 4.x must come first, or 3.x does not start.
        path = [str(classes), *sorted(map(str, lib.glob("hessian-4*.jar"))), f"{lib}/*"]
        opened = ("lang", "lang.reflect", "util", "util.concurrent", "net", "math")
        return [
            "java",
            "-XX:TieredStopAtLevel=1",  # the start is what takes the time
            "-XX:+UseSerialGC",
            "-Xms256m",
            "-Xmx512m",
            "-Dnacos.standalone=true",
            "-Dnacos.deployment.type=server",
            f"-Dnacos.home={self.home}",
            "-Dnacos.server.ip=127.0.0.1",
            "-Dnacos.remote.grpc.listen.ip=127.0.0.1",
            f"-Dnacos.logs.path={self.home}/logs",
            "-Dderby.system.durability=test",
            f"-Dderby.stream.error.file={self.home}/logs/derby.log",
            *(part for name in opened for part in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")),
            "-cp",
            ":".join(path),
            _MAIN[self.version[0]],
            f"--spring.config.additional-location=file:{self.home}/conf/",
        ]


@contextlib.contextmanager
def running(version: str, home: Path, **options: Any) -> Iterator[NacosServer]:
    """A started server that ends with the block. Raises CannotStart."""
    server = NacosServer(version, home, **options)
    try:
        server.start()
        yield server
    finally:
        server.signal(signal.SIGCONT)
        server.kill()


@contextlib.contextmanager
def for_test(version: str, home: Path, **options: Any) -> Iterator[NacosServer]:
    """As `running`; where no server can be had, the test is skipped (see tests.require)."""
    try:
        with running(version, home, **options) as server:
            yield server
    except CannotStart as error:
        require.lacking("nacos", f"no Nacos server: {error}")
