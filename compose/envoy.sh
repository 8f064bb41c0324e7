#!/usr/bin/env bash
# Runs Envoy, and lets it drain when it is told to stop: Envoy alone ends at once and breaks what is under way.
#
# On SIGTERM: answers tell callers to close their connections, for GRACE seconds; then no inbound connection is
# taken any more; as soon as no request is under way, and after at most DRAIN seconds, Envoy ends.
set -u
grace=${GRACE:-1} drain=${DRAIN:-8} admin=${ADMIN_PORT:-15000}

ask() { # METHOD PATH
  exec 3<>"/dev/tcp/127.0.0.1/$admin" || return
  printf '%s %s HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
} 2>/dev/null

under_way() {
  local active=0 count
  while IFS=': ' read -r _ count; do active=$((active + ${count%$'\r'})); done \
    < <(ask GET '/stats?filter=%5Ehttp%5C.(edge%7Cinbound%7Coutbound)%5C.downstream_rq_active%24' | grep downstream_rq_active)
  [ "$active" -gt 0 ]
}

stop() {
  trap '' TERM INT
  local deadline=$((SECONDS + drain))
  ask POST "/drain_listeners?graceful&skip_exit$inbound_only" >/dev/null
  sleep "$grace"
  ask POST "/drain_listeners?x$inbound_only" >/dev/null
  while under_way && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
  kill -TERM "$envoy"
}

# An application's last answers need its way out to the end, so a sidecar closes only its inbound listeners.
case ${ROLE:-sidecar} in edge) inbound_only= ;; *) inbound_only='&inboundonly' ;; esac
envoy --disable-hot-restart --drain-time-s "$drain" --drain-strategy immediate "$@" &
envoy=$!
trap stop TERM INT
wait "$envoy"
status=$?
# A signal ends the wait, not Envoy.
while kill -0 "$envoy" 2>/dev/null; do wait "$envoy"; status=$?; done
exit "$status"
