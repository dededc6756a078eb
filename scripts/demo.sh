#!/usr/bin/env bash
# From nothing to results: installs into .venv, reads the bundled clips and reviews adaptively, and
# writes results and pictures to demo_out/. Needs Python >= 3.10 with pip. PYTHON= names another one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/_venv.sh
ensure_venv
temporal=.venv/bin/temporal
rm -rf demo_out
mkdir demo_out

# run_job ARGUMENTS...: exit code 3 means finished, with rows for inputs that could not be read. The
# clips hold one on purpose (not_a_video.mp4).
run_job() {
    local code=0
    "$temporal" run "$@" || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || exit "$code"
}

echo "== Video: data/examples/clips"
run_job video-classification data/examples/clips --output demo_out/video
echo "== Text: data/examples/reviews.csv"
run_job text-classification data/examples/reviews.csv --column text --id-column id --keep-text \
    --output demo_out/text

echo "== Pictures"
"$temporal" show demo_out/video --output demo_out/video.png
"$temporal" show demo_out/text --output demo_out/text.png

echo
echo "Results:  demo_out/video/*.parquet  demo_out/text/*.parquet"
echo "Pictures: demo_out/video.png  demo_out/text.png"
