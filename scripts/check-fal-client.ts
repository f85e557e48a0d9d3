/**
 * Checks the server with the official Python client of the hosted API: `npx tsx scripts/check-fal-client.ts [python]`. Where that Python does not have
 * `fal_client`, it says so and checks nothing.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startServer } from '../src/server/server.ts'
import { createFakeQueue } from '../test/server/fake-queue.ts'

const run = promisify(execFile)
const python = process.argv[2] ?? 'python3'

const client = `
import os, sys, tempfile, fal_client
from fal_client import client as c
base = sys.argv[1]
c.RUN_URL_FORMAT, c.QUEUE_URL_FORMAT, c.REST_URL, c.CDN_URL = base + "/run/", base + "/queue/", base, base
app = "fal-ai/ltx23-trainer-v2/a2a"
fal = fal_client.SyncClient(key="secret")

url = fal.upload(b"pairs", "application/zip", "pairs.zip")
print("upload", url)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "large.bin")
    with open(path, "wb") as file: file.truncate(101 * 2**20)
    large = fal.upload_file(path)
print("upload in parts", large)
stored = fal.upload(b"sound", "audio/wav", "a.wav", repository="fal")
print("upload by URL", stored)

handle = fal.submit(app, {"training_data_url": url, "rank": "16", "validation": [{"reference_audio_url": stored}]}, priority="low", start_timeout=60)
statuses = [status for status in handle.iter_events(with_logs=True)]
print("statuses", [type(status).__name__ for status in statuses], statuses[-1].logs)
print("result", handle.get())
print("run", fal.run(app, {"training_data_url": large}))
waiting = fal.submit(app, {"training_data_url": "https://example.com/wait.zip"})
waiting.cancel()
print("cancelled", waiting.status())
try: waiting.get()
except fal_client.FalClientHTTPError as error: print("result of cancelled", error.status_code, error.error_type)
try: fal.submit(app, {"rank": 0})
except fal_client.FalClientHTTPError as error: print("refused", error.status_code, [one["type"] for one in error.message])
try: fal_client.SyncClient(key="wrong").submit(app, {})
except fal_client.FalClientHTTPError as error: print("wrong key", error.status_code, error)
`

const hasClient = await run(python, ['-c', 'import fal_client']).then(
  () => true,
  () => false,
)
if (!hasClient) console.log(`skipped: ${python} does not have fal_client`)
else {
  const data = mkdtempSync(join(tmpdir(), 'fal-client-'))
  const queue = createFakeQueue()
  const server = await startServer({ queue, data, host: '127.0.0.1', port: 0, key: 'secret' })
  const work = setInterval(() => {
    for (const { id, status, parameters } of queue.requests.values()) {
      if (String(parameters.training_data_url).includes('wait') || status === 'COMPLETED') continue
      if (status === 'IN_QUEUE') queue.start(id)
      else queue.finish(id, { output: { note: 'done' } })
      queue.log(id, `after ${status}`)
    }
  }, 300)
  try {
    const { stdout } = await run(python, ['-c', client, server.url])
    console.log(stdout.trimEnd())
  } finally {
    clearInterval(work)
    await server.close()
    rmSync(data, { recursive: true, force: true })
  }
}
