#!/usr/bin/env bash
# The tests that run ffmpeg, with the one that npm brings and with the one of the system: with the one that `npm test` has not used. Needs a build.
source "$(dirname "$0")/check-parts.sh"

used=$(command -v "$(node -e "import('./dist/audio/ffmpeg.js').then(({ findFfmpeg }) => findFfmpeg()).then(({ path }) => console.log(path))")")
echo "npm test has used the ffmpeg $used"

check() {
  if [ "$1" = "$used" ]; then return; fi
  echo "ffmpeg: $1"
  FFMPEG_PATH=$1 npx vitest run test/audio test/dataset
}
check "$(node -p "require('@ffmpeg-installer/ffmpeg').path")"
if command -v ffmpeg > /dev/null; then check "$(command -v ffmpeg)"
else not_run 'the tests of audio and datasets with the ffmpeg of the system' 'there is none (apt install ffmpeg)'
fi
