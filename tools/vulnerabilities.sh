#!/bin/sh
# `make vulnerabilities`: known vulnerabilities of the Python and npm packages that the locks name.
#
# --strict and the test of npm's status: a database that cannot be asked is a failure, and not "none found".
set -eu
python=$1/bin/python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
status=0
for lock in constraints.txt requirements/demo.txt requirements/tools.txt requirements/build.txt; do
  echo "== $lock"
  "$folder/venv/bin/pip-audit" --strict --disable-pip --require-hashes --requirement "$lock" || status=1
done
for package in console tests/agents/node; do
  echo "== $package"
  npm audit --prefix "$package" --package-lock-only || status=1
done
exit "$status"
