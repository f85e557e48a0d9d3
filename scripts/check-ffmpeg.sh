#!/usr/bin/env bash
# The tests that run ffmpeg, with the one that npm brings and with the one of the system, whichever `npm test` has used.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
reports=${TEST_REPORTS:-$folder}

check() {
  echo "ffmpeg: $1"
  FFMPEG_PATH=$1 npx vitest run test/audio test/dataset
}
check "$(node -p "require('@ffmpeg-installer/ffmpeg').path")"
if command -v ffmpeg > /dev/null; then check "$(command -v ffmpeg)"
else
  echo 'Not run: the tests of audio and datasets with the ffmpeg of the system, because there is none (apt install ffmpeg)' |
    tee -a "$reports/not-run.txt"
fi
