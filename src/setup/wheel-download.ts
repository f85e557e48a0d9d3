/** The download of wheels: what it costs is said and checked before it starts, and what has arrived is kept. */
import { join } from 'node:path'
import { arrivedBytes, downloadChecked } from '../net/checked-download.ts'
import type { HttpClient } from '../net/http-client.ts'
import { openHttpSource } from '../net/http-source.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { sum } from '../platform/statistics.ts'
import { sizeText } from '../platform/text.ts'
import type { IndexSettings } from './index-settings.ts'
import type { Wheel, WheelMachine } from './wheel-name.ts'

/** Where wheels come from, and what they are for. Tests replace it. */
export type WheelEnv = {
  settings: IndexSettings
  client: HttpClient
  machine: WheelMachine
  freeBytes(path: string): number
}

/** What all steps of a download need. */
export type Fetching = WheelEnv & { folder: string; reporter: Reporter }

/** Unpacked bytes for each byte of the wheels: measured 2.4 (CUDA) and 3.5 (CPU) for TensorFlow 2.21, 1.5 for the libraries of NVIDIA. */
const growth = { tensorflow: 3.5, nvidia: 1.6 }

const megabyte = 1e6

/** Says how much will be downloaded, checks the disk, and downloads. What an earlier attempt left is used. */
export async function fetchWheels(wheels: readonly Wheel[], fetching: Fetching) {
  const { client, folder, freeBytes, reporter } = fetching
  const sizes = await sizesOf(wheels, fetching)
  const total = sum(sizes)
  const arrived = sum(wheels.map((wheel) => arrivedBytes(pathOf(wheel, folder))))
  reporter.info(downloadText(wheels, total, arrived))
  const unpacked = sum(wheels.map((_, i) => (sizes[i] as number) * (i === 0 ? growth.tensorflow : growth.nvidia)))
  requireRoom(folder, total - arrived + unpacked, freeBytes)
  const megabytes = total > 0 ? Math.ceil(total / megabyte) : undefined
  const stage = reporter.stage('Downloading', megabytes, 'MB', arrived / megabyte)
  let done = 0
  const onBytes = (bytes: number) => {
    done += bytes
    if (done >= arrived) stage.update(done / megabyte)
  }
  for (const [i, wheel] of wheels.entries()) {
    const bytes = sizes[i] || undefined
    const download = { url: wheel.file.url, path: pathOf(wheel, folder), sha256: sha256Of(wheel), bytes }
    await downloadChecked(download, { client, signal: reporter.signal, onBytes })
  }
  stage.finish(sizeText(done))
}

/** In bytes; 0 where neither the index nor the server says. */
async function sizesOf(wheels: readonly Wheel[], fetching: Fetching): Promise<number[]> {
  const sizes: number[] = []
  for (const wheel of wheels) sizes.push(wheel.file.bytes ?? (await openWheel(wheel, fetching))?.size ?? 0)
  return sizes
}

/** Undefined where the server does not send parts of files. */
export async function openWheel({ file }: Wheel, { client, reporter: { signal } }: Fetching) {
  try {
    return await openHttpSource(file.url, signal, client, { accessHint: () => loginHint, attempts: 2 })
  } catch (error) {
    if (error instanceof UserError) return undefined // the download says why, if it fails as well
    throw error
  }
}

const loginHint = 'check the login of the package index: pip config list'

/** Each checksum has a folder, so that a file of the same name in another index is never continued with. */
export const pathOf = (wheel: Wheel, folder: string) => join(folder, sha256Of(wheel).slice(0, 16), wheel.file.name)

function sha256Of({ file }: Wheel): string {
  if (file.sha256 !== undefined) return file.sha256
  throw new UserError(`${file.url.host} lists no SHA-256 for ${file.name}, so its download cannot be checked`, {
    hint: 'download it yourself, and give it with --from',
  })
}

function downloadText(wheels: readonly Wheel[], total: number, arrived: number): string {
  const [{ project, version, file }, ...libraries] = wheels as [Wheel, ...Wheel[]]
  const what = `${project} ${version}${libraries.length > 0 ? ` and ${libraries.length} packages of NVIDIA` : ''}`
  const size = total > 0 ? `, ${sizeText(total)}` : ''
  const rest = arrived > 0 ? `, of which ${sizeText(arrived)} has arrived already` : ''
  return `To download from ${file.url.host}: ${what}${size}${rest}`
}

function requireRoom(folder: string, needed: number, freeBytes: (path: string) => number) {
  const available = freeBytes(folder)
  if (needed <= available) return
  throw new UserError(
    `the download and what is unpacked of it need ${sizeText(needed)}, but the disk of ${folder} has ${sizeText(available)} free`,
    { hint: `free ${sizeText(needed - available)}, or set LTX_A2A_DATA to a folder on another disk` },
  )
}
