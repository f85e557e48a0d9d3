#!/usr/bin/env bash
# The other versions of Node that are supported, from npm's package `node`: the project `unit`, the WebAssembly backend and one small training
# with each. Needs a build.
source "$(dirname "$0")/check-parts.sh"

for version in 22 24; do
  if ! npm install --prefix "$folder/$version" --no-save --no-fund --no-audit --loglevel=error "node@$version"; then
    not_run "the project unit and a training with Node $version" "npm could not install node@$version"
    continue
  fi
  node=$folder/$version/node_modules/node/bin/node
  echo "Node $("$node" --version)"
  PATH="$(dirname "$node"):$PATH" "$node" node_modules/vitest/vitest.mjs run --project unit
  PATH="$(dirname "$node"):$PATH" "$node" node_modules/vitest/vitest.mjs run --project model test/engine/wasm.test.ts
  LTX_A2A_BASE=$PWD/test/base LTX_A2A_CACHE=$folder/cache LTX_A2A_DATA=$folder/data \
    "$node" bin/ltx-a2a.js train --data fixtures/zips/valid/mac-leftovers-and-folders.zip --audio-duration-seconds 0.5 \
    --rank 8 --number-of-steps 3 --out "$folder/run-$version"
  test -s "$folder/run-$version/lora.safetensors"
done
