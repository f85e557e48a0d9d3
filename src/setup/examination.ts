/** The look at what was set up: another process asks it to compute, so that a library that crashes takes only that one down. */
import { fileURLToPath } from 'node:url'
import type { DoctorReport } from '../doctor/report.ts'
import { UserError } from '../errors.ts'
import { ProgramError, runProgram } from './programs.ts'

export type Examination = Required<Pick<DoctorReport, 'native' | 'products'>>

const tool = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

/** @throws UserError when the TensorFlow in the data folder does not start, or multiplies wrongly. */
export async function examine(dataFolder: string): Promise<Examination> {
  const { backend, native, products } = await askDoctor(dataFolder)
  if (!native || !products) throw unfit('does not start', new Error(backend.failure))
  if (!products.float32.works) throw unfit('does not multiply', new Error(products.float32.reason))
  return { native, products }
}

async function askDoctor(dataFolder: string): Promise<DoctorReport> {
  const question = [tool, 'doctor', '--backend', 'tensorflow', '--json']
  try {
    return JSON.parse(await runProgram(process.execPath, question, { env: { LTX_A2A_DATA: dataFolder } }))
  } catch (cause) {
    if (cause instanceof ProgramError) throw unfit('crashes', cause)
    throw cause
  }
}

const unfit = (what: string, cause: unknown) =>
  new UserError(`the TensorFlow that was set up ${what} on this machine`, {
    hint: 'use another build of TensorFlow: --from a folder, a .tar.gz or a .whl',
    cause,
  })
