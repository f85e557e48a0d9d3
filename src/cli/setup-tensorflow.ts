/** `ltx-a2a setup-tensorflow`: a current TensorFlow under tfjs-node, or none any more. */
import { defaultDataFolder } from '../engine/installation.ts'
import type { ProductProbe } from '../engine/numeric-check.ts'
import { UserError } from '../platform/errors.ts'
import { removeTensorFlow, setUpTensorFlow } from '../setup/tensorflow.ts'
import type { Stage, Terminal } from './terminal/terminal.ts'

export type SetupTensorFlowOptions = { from?: string; python?: string; undo?: boolean }

/** @throws UserError for whatever is missing, or cannot be fetched, built or started. */
export async function runSetupTensorFlow({ undo = false, ...wish }: SetupTensorFlowOptions, terminal: Terminal) {
  if (undo) return undoSetup(wish, terminal)
  let stage: Stage | undefined
  const onStage = (label: string) => {
    stage?.done()
    stage = terminal.stage(label, 0, 'files')
  }
  const { native, products, from } = await setUpTensorFlow({ ...wish, onStage })
  stage?.done(`float32 ${rate(products.float32)}, bfloat16 ${rate(products.bfloat16)}`)
  terminal.result(`TensorFlow ${native.version} from ${from}, computing on the ${native.device}`)
}

function undoSetup({ from, python }: SetupTensorFlowOptions, terminal: Terminal) {
  const other = from !== undefined ? '--from' : python !== undefined ? '--python' : undefined
  if (other) throw new UserError(`both --undo and ${other} were given`, { hint: 'keep one of them' })
  const folder = defaultDataFolder()
  terminal.result(
    removeTensorFlow() ? `removed TensorFlow from ${folder}` : `nothing to undo: no TensorFlow was set up in ${folder}`,
  )
}

const rate = (probe: ProductProbe) =>
  probe.works ? `${Math.round(probe.gigaflops).toLocaleString('en')} GFLOP/s` : `does not work (${probe.reason})`
