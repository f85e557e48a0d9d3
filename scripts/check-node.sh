#!/usr/bin/env bash
# Runs the test project `unit` and one training on another version of Node, which npm's package `node` brings: `scripts/check-node.sh 22`.
# Where it cannot be installed, the last line starts with "NOT RUN", and the exit code is 0. Needs a build.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

npm install --prefix "$folder" --no-fund --no-audit --silent "node@$version" && PATH=$folder/node_modules/.bin:$PATH node --version | grep -q "^v$version\." || {
  echo "NOT RUN: the test project \"unit\" and a training on Node $version, because npm could not install it"
  exit 0
}
export PATH=$folder/node_modules/.bin:$PATH LTX_A2A_CACHE=$folder/cache
echo "Node $(node --version)"
node node_modules/vitest/vitest.mjs run --project unit
LTX_A2A_BASE=test/base node bin/ltx-a2a.js train --data fixtures/zips/valid/mac-leftovers-and-folders.zip --out "$folder/run" --dev-allow-few-steps \
  --number-of-steps 4 --rank 2 --audio-duration-seconds 1 --backend wasm --quiet
test -s "$folder/run/lora.safetensors"
