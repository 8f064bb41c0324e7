# Images of Laneway: `control-plane` (the last stage, so the default) and `init`, the first step of a pod.
FROM debian:trixie-slim AS python
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* /usr/share/doc /usr/share/man /usr/share/locale \
    /usr/lib/python3.*/test /usr/lib/python3.*/pydoc_data

FROM python AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv binutils >/dev/null
RUN python3 -m venv /opt/laneway
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY demo-apps/service.py demo-apps/registry.py demo-apps/
# Dependencies in a layer of their own: a change of Laneway's code does not install them again.
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir controlplane && touch controlplane/__init__.py \
 && /opt/laneway/bin/pip install --quiet --no-compile --constraint constraints.txt . \
 && /opt/laneway/bin/pip uninstall --quiet --yes laneway \
 && find /opt/laneway -name '*.so*' -type f -exec strip --strip-unneeded {} + \
 && rm -rf /opt/laneway/lib/python3*/site-packages/Crypto/SelfTest
COPY controlplane controlplane
RUN /opt/laneway/bin/pip install --quiet --no-compile --no-deps . \
 && /opt/laneway/bin/pip uninstall --quiet --yes pip
# Bytecode of what is really imported, and of nothing else: it halves the time to start, and the file system
# is read-only later.
RUN cd / && /opt/laneway/bin/python -W ignore -c 'import controlplane.app.serving, controlplane.cli.change, controlplane.registry.nacos.discovery, v2.nacos, uvloop, rich.table, rich.markup' \
 && /opt/laneway/bin/laneway serve --help >/dev/null \
 && /opt/laneway/bin/laneway bootstrap edge >/dev/null

FROM python AS runtime
COPY --from=build /opt/laneway /opt/laneway
ENV PATH=/opt/laneway/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="Laneway" \
      org.opencontainers.image.description="An Envoy control plane for end-to-end canary release by traffic lanes" \
      org.opencontainers.image.licenses="Apache-2.0"

# What a pod runs once before its application and its sidecar: it redirects connections (root and NET_ADMIN,
# only where asked for) and writes the sidecar's bootstrap.
FROM runtime AS init
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iptables >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* /usr/share/doc /usr/share/man /usr/share/locale
COPY --chmod=755 compose/init.sh /usr/local/bin/laneway-init
# Every pod's init step writes here: as root without capabilities (by the group), or as nobody. Others only read.
RUN install -d -o 65534 -g 0 -m 775 /bootstrap
ENTRYPOINT ["laneway-init"]

FROM runtime AS control-plane
RUN useradd --uid 10001 --no-create-home --home-dir /data laneway && install -d -o laneway -g laneway /data /ca /certs
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
