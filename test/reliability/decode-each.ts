/** Decodes every file it is given, for a test that watches the system calls. */
import { measureAudio } from '../../src/audio/decode.ts'

for (const path of process.argv.slice(2)) await measureAudio(path, { headSeconds: 1 }).catch(() => undefined)
