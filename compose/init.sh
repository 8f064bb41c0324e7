#!/bin/sh
# The first step of a pod (or of an edge): leads connections to the sidecar, and writes the sidecar's bootstrap.
#
#   ROLE                    sidecar (default) or edge
#   NAME                    the bootstrap is written to /bootstrap/NAME.yaml
#   NODE_ID                 how the Envoy calls itself; NAME by default
#   XDS                     host:port of the control plane
#   CERTS                   directory of ca.pem and of the proxy's certificate, gateway-NAME.pem or
#                           application-NAME.pem, as Envoy sees it; empty: plain text
#   XDS_CA, XDS_CERTIFICATE, XDS_KEY   single files in place of CERTS; XDS_CA alone: without a certificate of its own
#   XDS_CA_PEM              the CA itself in place of XDS_CA
#   DRAINING                edge: 1 puts the script that runs Envoy and drains it beside the bootstrap
#   GATEWAY                 edge: name of the gateway
#   APPLICATION, SERVICE    sidecar: application, and NAME:PORT[:APP_PORT] of its services, separated by spaces
#   ADDRESS                 sidecar: address of the instance; by default the first of this host
#   TAG                     sidecar: tag of the instance; empty for base
#   METRICS                 host:port at which Prometheus reads the Envoy's statistics; empty: nowhere
#   CAPTURE                 redirect: iptables lead every TCP connection to the sidecar (needs NET_ADMIN);
#                           proxy: nothing is changed, the application uses its HTTP_PROXY
#   OUTBOUND_EXCLUDE_PORTS  redirect: ports that the application calls directly, such as its registry's
#   INBOUND_PORTS           redirect: ports that callers reach through the sidecar; all when empty
set -eu

outbound=15006 inbound=15008 sidecar_user=1337

redirect() {
  # A second run in the same namespace changes nothing.
  iptables -w -t nat -N LANEWAY_OUT 2>/dev/null || { echo "connections are redirected already"; return; }
  iptables -w -t nat -A OUTPUT -p tcp -j LANEWAY_OUT
  iptables -w -t nat -A LANEWAY_OUT -m owner --uid-owner $sidecar_user -j RETURN
  iptables -w -t nat -A LANEWAY_OUT -d 127.0.0.0/8 -j RETURN
  [ -z "${OUTBOUND_EXCLUDE_PORTS:-}" ] ||
    iptables -w -t nat -A LANEWAY_OUT -p tcp -m multiport --dports "$OUTBOUND_EXCLUDE_PORTS" -j RETURN
  iptables -w -t nat -A LANEWAY_OUT -p tcp -j REDIRECT --to-ports $outbound
  if [ -n "${INBOUND_PORTS:-}" ]; then
    iptables -w -t nat -A PREROUTING -p tcp -m multiport --dports "$INBOUND_PORTS" -j REDIRECT --to-ports $inbound
  else
    iptables -w -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports $inbound
  fi
  # Only redirected connections: called directly, these ports would be an open proxy, or a loop.
  iptables -w -A INPUT -p tcp -m multiport --dports $outbound,$inbound -m conntrack ! --ctstate DNAT \
    -j REJECT --reject-with tcp-reset
  echo "connections are redirected: outbound to $outbound but for ports ${OUTBOUND_EXCLUDE_PORTS:-none}," \
    "inbound of ports ${INBOUND_PORTS:-all} to $inbound"
}

certificates() { # of whom
  if [ -n "${CERTS:-}" ]; then
    echo "--xds-ca $CERTS/ca.pem --xds-certificate $CERTS/$1.pem --xds-key $CERTS/$1-key.pem"
  elif [ -n "${XDS_CA:-}" ]; then
    echo "--xds-ca $XDS_CA ${XDS_CERTIFICATE:+--xds-certificate $XDS_CERTIFICATE --xds-key $XDS_KEY}"
  fi
}

# Replaced whole: the last run may have been another user, and an Envoy may read it. Everybody may read it.
umask 022
file=/bootstrap/$NAME.yaml
node=${NODE_ID:-$NAME}
if [ -n "${XDS_CA_PEM:-}" ]; then
  XDS_CA=/bootstrap/ca.pem
  printf '%s\n' "$XDS_CA_PEM" > "$XDS_CA"
fi
[ -z "${DRAINING:-}" ] || cp /usr/local/share/laneway/envoy.sh /bootstrap/envoy.sh
metrics=${METRICS:+--metrics $METRICS}
if [ "${ROLE:-sidecar}" = edge ]; then
  # shellcheck disable=SC2046,SC2086  # several words
  laneway bootstrap edge --gateway "$GATEWAY" --node-id "$node" --xds "$XDS" --file "$file" \
    $metrics $(certificates "gateway-$GATEWAY")
else
  address=${ADDRESS:-$(hostname -i | tr " " "\n" | grep -m 1 -F .)}
  [ "${CAPTURE:-redirect}" = proxy ] || redirect
  set --
  for one in $SERVICE; do set -- "$@" --service "$one"; done
  set -- "$@" --application "$APPLICATION" --capture "${CAPTURE:-redirect}" --address "$address"
  [ -z "${TAG:-}" ] || set -- "$@" --tag "$TAG"
  [ -z "${APP_ADDRESS:-}" ] || set -- "$@" --app-address "$APP_ADDRESS"
  # shellcheck disable=SC2046,SC2086
  laneway bootstrap sidecar "$@" --node-id "$node" --xds "$XDS" --file "$file" \
    $metrics $(certificates "application-$APPLICATION")
fi
echo "wrote $file"
