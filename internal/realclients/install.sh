#!/usr/bin/env bash
# Installs the packages of other people's WebSocket clients that tests drive, at the versions of
# their lock files. What they run on (node, npm) has to be there. .ci/run calls it; tests never
# install anything themselves.
set -euo pipefail
cd "$(dirname "$0")/testdata"

(cd npm && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
