/** A worker in a process of its own, for the test that kills it: `killed-worker.ts <data folder> <request as JSON>`. */
import { localFiles } from '../../src/worker/job-files.ts'
import { startWorker } from '../../src/worker/worker.ts'
import { createFakeQueue } from './fake-claim.ts'

const [, , dataFolder = '', request = ''] = process.argv
const queue = createFakeQueue()
queue.add(JSON.parse(request))
startWorker({ queue, name: 'killed', files: localFiles(dataFolder), pollMs: 20 })
