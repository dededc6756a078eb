#!/usr/bin/env bash
# Installs the test extra into .venv and runs the tests in two processes; arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/_venv.sh
ensure_venv test
exec .venv/bin/python -m pytest -n 2 "$@"
