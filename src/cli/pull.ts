/** `ltx-a2a pull`: from nothing to the audio path of the real model, or its text encoder, without the rest of their files. */
import { basename, dirname, extname, join } from 'node:path'
import type { Header } from '../formats/safetensors-header.ts'
import { isAudioTensor, requireKnownRelease, unifiedNames } from '../model/checkpoint-layout.ts'
import { isTextTensor } from '../model/text/gemma-folder.ts'
import { isThere, requireSpace, sizeText } from '../net/disk.ts'
import { type Outside, parsePlace } from '../net/place.ts'
import { pull } from '../net/pull.ts'
import { type Plan, planPull } from '../net/ranges.ts'
import { planTextEncoder } from '../net/text-encoder.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { watchInterruption } from './signals.ts'
import type { Terminal } from './terminal/terminal.ts'

export type PullSettings = {
  /** A repository of the hub, a URL, or a path. */
  from?: string | undefined
  textEncoder?: boolean | undefined
  out?: string | undefined
}

/** The base that LoRAs are trained on; the distilled one has unlearned what training needs. */
const releasedModel = 'Lightricks/LTX-2.3/ltx-2.3-22b-dev.safetensors'
/** The text encoder that the release names. */
const releasedTextEncoder = 'google/gemma-3-12b-it-qat-q4_0-unquantized'

/** @throws UserError with what the person can change; Interrupted after Ctrl-C, when what has arrived is kept. */
export async function runPull(
  settings: PullSettings,
  terminal: Terminal,
  outside: Outside = { env: process.env },
): Promise<void> {
  const controller = new AbortController()
  const interruption = watchInterruption(() =>
    controller.abort(new Interrupted('stopped; what has arrived is kept', 'run the same command again')),
  )
  try {
    if (settings.textEncoder) await pullTextEncoder(settings, outside, controller.signal, terminal)
    else await pullAudioPath(settings, outside, controller.signal, terminal)
  } finally {
    interruption.release()
  }
}

async function pullAudioPath(
  { from = releasedModel, out }: PullSettings,
  outside: Outside,
  signal: AbortSignal,
  terminal: Terminal,
) {
  const { place, file } = await parsePlace(from, outside)
  if (file === undefined)
    throw new UserError(`${from} is not one file`, { hint: `name the checkpoint in it: ${from}/<file>.safetensors` })
  const source = await place.open(file, signal)
  try {
    const path = out ?? join('models', `${basename(source.name, extname(source.name))}-audio.safetensors`)
    const plan = await planPull(source, path, selectAudio(source.name), signal)
    terminal.note(`${source.location}: ${plan.tensors} tensors, ${sizeText(plan.size)} of ${sizeText(source.size)}`)
    if (/distilled/i.test(source.name))
      terminal.warn('this looks like the distilled model: LoRAs are trained on the dev model, and work on both')
    await carryOut([plan], signal, terminal)
    terminal.note(`Train on it with --model ${path}`)
    terminal.result(path)
  } finally {
    await source.close()
  }
}

async function pullTextEncoder(
  { from = releasedTextEncoder, out }: PullSettings,
  outside: Outside,
  signal: AbortSignal,
  terminal: Terminal,
) {
  const { place } = await parsePlace(from, outside)
  const folder = out ?? join('models', place.name)
  const { plans, finish } = await planTextEncoder(place, folder, isTextTensor, signal)
  try {
    const size = plans.reduce((sum, plan) => sum + plan.size, 0)
    terminal.note(`${place.location}: the text tower, ${sizeText(size)}`)
    await carryOut(plans, signal, terminal)
    await finish(signal)
    terminal.note(`Use it with --text-encoder ${folder}`)
    terminal.result(folder)
  } finally {
    for (const { source } of plans) await source.close()
  }
}

/** @throws UserError for another release, and for a file without any part of the audio path: nothing of it is fetched. */
const selectAudio = (file: string) => (header: Header) => {
  const unifiedName = unifiedNames(header.tensors)
  const names = new Set([...header.tensors.keys()].map(unifiedName))
  requireKnownRelease(file, header.metadata, names)
  if (![...names].some(isAudioTensor))
    throw new UserError(`${file} holds nothing of LTX's audio path`, { hint: 'use a checkpoint of LTX-2.3' })
  return (name: string) => isAudioTensor(unifiedName(name))
}

const megabyte = 1e6

async function carryOut(plans: readonly Plan[], signal: AbortSignal, terminal: Terminal) {
  const left = plans.filter((plan) => !isThere(plan))
  if (left.length === 0) return terminal.note('Everything is there already')
  requireSpace(left)
  const total = left.reduce((sum, { size, head }) => sum + size - head.length, 0)
  const stage = terminal.stage('Pulling', Math.ceil(total / megabyte), 'MB')
  let done = 0
  const onBytes = (bytes: number) => {
    done += bytes
    stage.update(done / megabyte)
  }
  for (const plan of left) await pull(plan, { signal, onBytes })
  stage.done(`${sizeText(total)} in ${dirname(left[0]?.path ?? '.')}`)
}
