#!/bin/sh
# The demo's CA: makes a certificate for each name, and new ones again and again. In earnest: docs/how-to/tls.md.
#
#   GATEWAYS, APPLICATIONS  names, separated by spaces; later also those that somebody has issued into /certs
#   HOURS, ROTATE           how long a certificate is valid; seconds between two rounds
set -eu

issue() {
  laneway certs issue "$@" --dir /ca --out /certs --hours "${HOURS:-1}" --shared-key
}

issued() { # KIND: the names in /certs
  for key in /certs/"$1"-*-key.pem; do
    name=${key#/certs/"$1"-}
    [ ! -e "$key" ] || echo "${name%-key.pem}"
  done
}

[ -e /ca/ca-key.pem ] || laneway certs init --dir /ca --days 3650
trap 'exit 0' TERM INT
while :; do
  issue server control-plane --host control-plane --host localhost
  for name in $(printf '%s\n' $GATEWAYS $(issued gateway) | sort -u); do issue gateway "$name"; done
  for name in $(printf '%s\n' $APPLICATIONS $(issued application) | sort -u); do issue application "$name"; done
  cp /ca/ca.pem /certs/.ca.pem.new
  mv -f /certs/.ca.pem.new /certs/ca.pem
  touch /tmp/issued # healthy: who waits for this container finds all of them
  sleep "${ROTATE:-1200}" &
  wait $!
done
