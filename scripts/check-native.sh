#!/usr/bin/env bash
# The project `native`: TensorFlow from the package index, put under tfjs-node as `ltx-a2a setup-tensorflow` does it, and the tests that need it.
# Where it cannot be downloaded, or there is no C++ compiler, they are skipped and it says so. Needs a build.
source "$(dirname "$0")/check-parts.sh"

skip() { skip_project native "$1" test/setup/tensorflow.test.ts; }
command -v c++ > /dev/null || skip 'there is no C++ compiler (apt install g++)'
npx tsx scripts/fetch-tensorflow.ts "$folder/python" || skip 'TensorFlow could not be downloaded'

export LTX_A2A_DATA=$folder/data LTX_A2A_CACHE=$folder/cache LTX_A2A_TENSORFLOW_DIR=$folder/python/tensorflow
node bin/ltx-a2a.js setup-tensorflow --from "$LTX_A2A_TENSORFLOW_DIR"
node bin/ltx-a2a.js doctor
run_project 'native*' native
run_project cli setup test/setup

# the kernels of the CUDA build, which the tests above take from a file, and its libraries
if [ -n "${LTX_A2A_CUDA_WHEEL:-}" ]; then
  npx tsx scripts/check-kernels.ts "$LTX_A2A_CUDA_WHEEL"
  npx tsx scripts/check-cuda-libraries.ts "$LTX_A2A_CUDA_WHEEL"
else
  not_run 'scripts/check-kernels.ts and check-cuda-libraries.ts' 'LTX_A2A_CUDA_WHEEL names no wheel of tensorflow for CUDA'
fi
