/** Unpacks the libraries and headers of the newest tensorflow-cpu into a folder, for the tests: `npx tsx scripts/fetch-tensorflow.ts <folder>`. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createReporter } from '../src/platform/progress.ts'
import { obtainWheels } from '../src/setup/tensorflow-wheels.ts'

const [folder = 'tensorflow-cpu'] = process.argv.slice(2)
const downloads = join(folder, 'downloads')
console.log(await obtainWheels({ device: 'CPU' }, { downloads, unpacked: folder }, createReporter()))
rmSync(downloads, { recursive: true })
