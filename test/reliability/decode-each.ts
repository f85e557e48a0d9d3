/** Decodes every file in the arguments. A test runs it under strace. */
import { measureAudio } from '../../src/audio/decode.ts'

for (const path of process.argv.slice(2)) await measureAudio(path, { headSeconds: 1 }).catch(() => undefined)
