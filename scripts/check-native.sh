#!/usr/bin/env bash
# Sets up native TensorFlow from the Python package index, as `ltx-a2a setup-tensorflow` does, and runs the test project `native` on it.
# Where that is impossible, the last line says why, starting with "NOT RUN", and the exit code is 0. Needs a build.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

not_run() {
  echo "NOT RUN: the test project \"native\" (reference values and gradients on native TensorFlow), because $1"
  exit 0
}
command -v c++ >/dev/null || not_run 'there is no C++ compiler'
python3 -m pip --version >/dev/null 2>&1 || not_run 'there is no python3 with pip'
python3 -m pip install --quiet --no-deps --no-compile --only-binary=:all: --python-version 3.12 \
  --target "$folder/python" tensorflow-cpu || not_run 'pip could not install tensorflow-cpu'

export LTX_A2A_DATA=$folder/data LTX_A2A_CACHE=$folder/cache LTX_A2A_TENSORFLOW_DIR=$folder/python/tensorflow
node bin/ltx-a2a.js setup-tensorflow --from "$LTX_A2A_TENSORFLOW_DIR"
node bin/ltx-a2a.js doctor
npx vitest run --project cli test/setup
npx vitest run --project native
