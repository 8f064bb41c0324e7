# Images of Laneway: `control-plane` (the last stage, so the default) and `init`, the first step of a pod.
#
# They are put together from the files of a few packages: there is no package manager in them, and no pip. How
# to build them again the same: docs/how-to/supply-chain.md.
FROM debian:trixie-slim AS python
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 ca-certificates >/dev/null

FROM python AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv binutils >/dev/null
RUN python3 -m venv /opt/laneway
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
# Dependencies in layers of their own: a change of Laneway's code does not install them again.
COPY requirements/build.txt requirements/laneway.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/laneway/bin/pip install --quiet --no-compile --require-hashes --requirement requirements/build.txt \
 && /opt/laneway/bin/pip install --quiet --no-compile --require-hashes --no-build-isolation --requirement requirements/laneway.txt \
 && find /opt/laneway -name '*.so*' -type f -exec strip --strip-unneeded {} + \
 && rm -rf /opt/laneway/lib/python3*/site-packages/Crypto/SelfTest
COPY pyproject.toml README.md LICENSE sbom.cdx.json ./
COPY demo-apps/service.py demo-apps/registry.py demo-apps/
COPY controlplane controlplane
COPY tools/bytecode.py tools/
RUN /opt/laneway/bin/pip install --quiet --no-compile --no-deps --no-build-isolation . \
 && /opt/laneway/bin/pip uninstall --quiet --yes setuptools pip
# Bytecode of what is really imported, and of nothing else: it halves the time to start, and the file system
# is read-only later.
RUN find /opt/laneway -name __pycache__ -prune -exec rm -rf {} + \
 && cd / && /opt/laneway/bin/python -W ignore -c 'import controlplane.app.serving, controlplane.cli.change, controlplane.registry.nacos.discovery, v2.nacos, uvloop, rich.table, rich.markup' \
 && /opt/laneway/bin/laneway serve --help >/dev/null \
 && /opt/laneway/bin/laneway bootstrap edge >/dev/null \
 && PYTHONHASHSEED=0 python3 -W ignore /src/tools/bytecode.py /opt/laneway

FROM python AS files
RUN useradd --uid 10001 --no-create-home --home-dir /data laneway
COPY tools/rootfs.py tools/bytecode.py /tools/
RUN python3 -c 'import asyncio, email.message, sqlite3, ssl, xml.etree.ElementTree, zoneinfo' \
 && python3 /tools/rootfs.py /root-of-image python3 bash coreutils dash grep sed ca-certificates netbase base-files libc-bin libstdc++6 \
 && PYTHONHASHSEED=0 python3 -W ignore /tools/bytecode.py /root-of-image \
 && install -d -o 10001 -g 10001 /root-of-image/data /root-of-image/ca /root-of-image/certs

FROM python AS files-of-init
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iptables >/dev/null
COPY tools/rootfs.py tools/bytecode.py /tools/
# Every pod's init step writes here: as root without capabilities (by the group), or as nobody. Others only read.
RUN python3 /tools/rootfs.py /root-of-image python3 bash coreutils dash grep sed hostname iptables base-files libc-bin libstdc++6 \
 && PYTHONHASHSEED=0 python3 -W ignore /tools/bytecode.py /root-of-image \
 && install -d -o 65534 -g 0 -m 775 /root-of-image/bootstrap

FROM scratch AS runtime
ENV PATH=/opt/laneway/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="Laneway" \
      org.opencontainers.image.description="An Envoy control plane for end-to-end canary release by traffic lanes" \
      org.opencontainers.image.licenses="Apache-2.0"

# What a pod runs once before its application and its sidecar: it redirects connections (root and NET_ADMIN,
# only where asked for) and writes the sidecar's bootstrap.
FROM runtime AS init
COPY --from=files-of-init /root-of-image /
COPY --from=build /opt/laneway /opt/laneway
# Whatever a library needs of the system is there.
RUN ["python", "-W", "ignore", "-c", "import controlplane.app.serving, controlplane.cli.change, v2.nacos, uvloop, grpc, re2, sqlite3, ssl"]
COPY --chmod=755 compose/init.sh /usr/local/bin/laneway-init
COPY --chmod=755 compose/envoy.sh /usr/local/share/laneway/envoy.sh
ENTRYPOINT ["laneway-init"]

FROM runtime AS control-plane
COPY --from=files /root-of-image /
COPY --from=build /opt/laneway /opt/laneway
# Whatever a library needs of the system is there.
RUN ["python", "-W", "ignore", "-c", "import controlplane.app.serving, controlplane.cli.change, v2.nacos, uvloop, grpc, re2, sqlite3, ssl"]
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 18000 18080
ENV LANEWAY_XDS=0.0.0.0:18000 LANEWAY_STORE=sqlite:/data/laneway.db
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=3s --timeout=3s --start-period=60s --retries=10 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/18080 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
ENTRYPOINT ["laneway"]
CMD ["serve"]
