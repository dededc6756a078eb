# Sourced by demo.sh, test.sh and .ci/run, from the repository root.

# ensure_venv [EXTRA]: make .venv and install the project there, pinned by constraints.txt. Does
# nothing when that was done already for the same pyproject.toml and constraints.txt.
ensure_venv() {
    local extra="${1:-}" python="${PYTHON:-python3}" wanted stamp
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
        echo "$python must be Python >= 3.10; name another with PYTHON=/path/to/python3" >&2
        return 1
    }
    if [ ! -x .venv/bin/python ]; then
        # Some distributions leave ensurepip out; their own pip can then fill the environment.
        "$python" -m venv .venv || {
            "$python" -m venv --clear --without-pip .venv
            "$python" -m pip --python .venv/bin/python install --quiet pip
        }
    fi
    wanted="$(cat pyproject.toml constraints.txt | cksum)"
    stamp=".venv/.installed${extra:+-$extra}"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Installing into .venv (a few minutes the first time) ..."
        .venv/bin/python -m pip install -qq --disable-pip-version-check \
            --constraint constraints.txt --editable ".${extra:+[$extra]}"
        echo "$wanted" >"$stamp"
        echo "$wanted" >.venv/.installed # an extra brings the plain install with it
    fi
}
