#!/usr/bin/env bash
# The native backend: TensorFlow from Python's registry, put under tfjs-node as `ltx-a2a setup-tensorflow` does it, and the goldens computed with it.
# Where pip cannot fetch it, or there is no C++ compiler, it is skipped and says so. Needs a build.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

skip() {
  echo "SKIPPED: the native backend was not tested, because $1"
  exit 0
}
command -v c++ >/dev/null || skip 'there is no C++ compiler'
python3 -m pip --version >/dev/null 2>&1 || skip 'there is no python3 with pip'
python3 -m pip install --quiet --no-deps --no-compile --only-binary=:all: --python-version 3.12 \
  --target "$folder/python" tensorflow-cpu || skip 'pip could not install tensorflow-cpu'

export LTX_A2A_DATA=$folder/data LTX_A2A_CACHE=$folder/cache LTX_A2A_TENSORFLOW_DIR=$folder/python/tensorflow
node bin/ltx-a2a.js setup-tensorflow --from "$LTX_A2A_TENSORFLOW_DIR"
node bin/ltx-a2a.js doctor
npx vitest run test/setup test/engine
LTX_A2A_BACKEND=tensorflow LTX_A2A_PRECISION=float32 npx vitest run test/golden # the goldens are float32
