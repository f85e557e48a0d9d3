/** What the facts about a machine mean for a training on it. */
import { fitsReleasedModel, noCard, reasonText, releasedModelBytes } from '../engine/card-use.ts'
import type { NativeFacts } from '../engine/native.ts'
import type { MatMulProbe, Precision } from '../engine/precision.ts'
import { cardText } from '../machine/nvidia.ts'
import { countText, sizeText, wholeText } from '../platform/text.ts'
import type { CardFacts, DoctorReport, UserFolder } from './doctor.ts'

export type Grade = 'good' | 'fair' | 'poor'

/** One row: `found` is the fact, `meaning` what follows from it. */
export type Finding = { about: string; found: string; grade: Grade; meaning: string }

export const findings = (report: DoctorReport): Finding[] => [
  node(report),
  processor(report),
  ...graphicsCards(report),
  memory(report),
  backend(report),
  ...setUpMeans(report),
  ...precision(report),
  ...products(report),
  ffmpeg(report),
  base(report),
  disk(report),
  cache(report),
  data(report),
  proxies(report),
]

const setUp = 'ltx-a2a setup-tensorflow'

function node({ node, system }: DoctorReport): Finding {
  const fits = Number.parseInt(node, 10) >= 20
  return {
    about: 'Node',
    found: `${node}, ${system}`,
    grade: fits ? 'good' : 'poor',
    meaning: fits ? '' : 'ltx-a2a needs Node 20 or later',
  }
}

function processor({ processor: { model, threads, bfloat16 } }: DoctorReport): Finding {
  const found = `${model}, ${countText(threads, 'thread')}`
  const meaning = bfloat16.length > 0 ? `multiplies bfloat16 itself (${bfloat16.join(', ')})` : ''
  return { about: 'Processor', found, grade: 'good', meaning }
}

function graphicsCards(report: DoctorReport): Finding[] {
  const { graphicsCards, cardFailure, cudaBuild } = report
  const about = 'Graphics card'
  const failing: Finding[] =
    cardFailure === undefined ? [] : [{ about, found: cardFailure, grade: 'poor', meaning: driverHint }]
  if (graphicsCards.length === 0 && failing.length > 0) return failing
  if (graphicsCards.length === 0) {
    const isExpected = cudaBuild !== undefined && !cudaBuild.isAssumed
    return [{ about, found: 'no NVIDIA card', grade: 'fair', meaning: isExpected ? noCard : '' }]
  }
  const rows = graphicsCards.map((card): Finding => {
    const { totalBytes, freeBytes = 0, isPartitioned } = card
    const whole = totalBytes === undefined ? '' : `, ${sizeText(totalBytes)}, ${sizeText(freeBytes)} of it free`
    const memory = isPartitioned ? ', divided into parts (MIG), whose memory is not known' : whole
    return { about, found: `${cardText(card)}${memory}`, ...useOf(card, report) }
  })
  return [...rows, ...failing]
}

const driverHint = "restart the machine if NVIDIA's driver was updated; otherwise install the driver again"

/** Whether a card is used, and if not, why and what would use it. */
function useOf(card: CardFacts, report: DoctorReport): Pick<Finding, 'grade' | 'meaning'> {
  const { graphicsCards, backend, cardOverrides } = report
  const { isUsed, isVisible, obstacle, remedy } = card
  const size = fitsReleasedModel(card) ? [] : [needOfRealModel]
  if (isUsed) {
    const overrides = cardOverrides.map((override) => `${override} is set${effectOf(override)}`)
    const meanings = [...size, ...overrides]
    return { grade: meanings.length === 0 ? 'good' : 'fair', meaning: meanings.join('; ') }
  }
  if (obstacle === undefined) return { grade: 'good', meaning: 'a part of a card is used, of unknown memory' }
  const reason = reasonText({ obstacle, ...(remedy !== undefined && { remedy }) })
  const meaning = [`not used: ${reason}`, ...(remedy === undefined ? [] : size)].join('; ')
  if (graphicsCards.some(({ isUsed }) => isUsed) && remedy !== undefined) return { grade: 'good', meaning }
  const isChosen = backend.failure === undefined && backend.name !== 'tensorflow' && backend.passedOver.length === 0
  return { grade: !isVisible || isChosen ? 'fair' : 'poor', meaning }
}

/** What another value than that of this tool does. */
const effectOf = (override: string) =>
  override.startsWith('NVIDIA_TF32_OVERRIDE')
    ? ': float32 products may be less exact'
    : ': the same run may give other bytes each time'

const needOfRealModel = `the 22B model needs about ${sizeText(releasedModelBytes)}`

function memory({ memory: { totalBytes, freeBytes } }: DoctorReport): Finding {
  const fits = totalBytes >= releasedModelBytes
  return {
    about: 'Memory',
    found: `${sizeText(totalBytes)}, ${sizeText(freeBytes)} of it free`,
    grade: fits ? 'good' : 'fair',
    meaning: fits ? '' : needOfRealModel,
  }
}

function backend({ backend, native }: DoctorReport): Finding {
  if (backend.failure !== undefined) {
    const meaning = [backend.failure, backend.hint].filter(Boolean).join(': ')
    return { about: 'Backend', found: 'none', grade: 'poor', meaning }
  }
  const { name, description, passedOver } = backend
  const found = `${name}: ${description}`
  if (name === 'tensorflow') {
    const meaning = native === undefined ? '' : missingFrom(native)
    return { about: 'Backend', found, grade: meaning === '' ? 'good' : 'fair', meaning }
  }
  const { reason, hint = '' } = passedOver.find(({ name }) => name === 'tensorflow') ?? {}
  const command = hint === '' || hint === `run ${setUp}` ? `for the 22B model: ${setUp}` : hint
  return { about: 'Backend', found, grade: 'fair', meaning: `${reason ?? 'enough for the small base'}; ${command}` }
}

/** What `setup-tensorflow` needs first. */
const setUpMeans = ({ setUp: missing }: DoctorReport): Finding[] =>
  missing === undefined
    ? []
    : [
        {
          about: 'Set-up',
          found: missing.failure,
          grade: 'poor',
          meaning: `for ${setUp}${missing.hint ? `: ${missing.hint}` : ''}`,
        },
      ]

/** The number format of matrix products, and how to change it. */
function precision({ precision, backend }: DoctorReport): Finding[] {
  if (precision === undefined) return []
  const about = 'Precision'
  if (precision.failure !== undefined)
    return [{ about, found: precision.failure, grade: 'poor', meaning: precision.hint ?? '' }]
  const found = `${precision.name} products`
  if (backend.name !== 'tensorflow')
    return [{ about, found, grade: 'good', meaning: `the only one of ${backend.name}` }]
  const other = precision.name === 'float32' ? 'bfloat16' : 'float32'
  return [{ about, found, grade: 'good', meaning: `LTX_A2A_PRECISION=${other} changes it` }]
}

/** What the addon of an earlier version, or of npm, lacks. */
function missingFrom({ hasGraphs, hasFusedOps, device }: NativeFacts): string {
  if (!hasGraphs) return 'its addon has no graphs, which are faster and need less memory'
  return hasFusedOps || device === 'GPU'
    ? ''
    : 'its addon has no fused operations, which are faster and need less memory'
}

function products(report: DoctorReport): Finding[] {
  const { products, backend } = report
  if (!products) return []
  const { float32, bfloat16 } = products
  const stored = backend.name === 'tensorflow' ? '; weights stay in memory as they are stored' : ''
  return [
    product(report, 'float32', float32, 'nothing can be computed here'),
    product(report, 'bfloat16', bfloat16, `products are float32${stored}`),
  ]
}

/** The operations of one step of the released model on a pair of 5 s, in billions. */
const gigaflopsOfStep = 3600
/** The weights of its audio path in bfloat16, and the most memory that WebAssembly has. */
const [weightBytes, wasmBytes] = [6.6e9, 2 ** 32]

function product(report: DoctorReport, format: Precision, probe: MatMulProbe, without: string): Finding {
  const about = `${format} products`
  if (!probe.works) return { about, found: probe.reason, grade: 'fair', meaning: without }
  const found = `${wholeText(probe.gigaflops)} GFLOP/s`
  if (!probe.roundsToNearest)
    return { about, found, grade: 'fair', meaning: `not used, since digits are cut off here: ${without}` }
  if (report.backend.name === 'wasm') {
    const meaning = `not for the 22B model: its weights take ${sizeText(weightBytes)}, and WebAssembly has at most ${sizeText(wasmBytes)} of memory`
    return { about, found, grade: 'fair', meaning }
  }
  const seconds = gigaflopsOfStep / probe.gigaflops
  const time = `a step of the 22B model, 5 s, takes ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s or more`
  const isOther = report.precision?.name !== undefined && report.precision.name !== format
  return { about, found, grade: 'good', meaning: isOther ? `not used; with LTX_A2A_PRECISION=${format} ${time}` : time }
}

function ffmpeg({ ffmpeg }: DoctorReport): Finding {
  if (ffmpeg.failure !== undefined)
    return {
      about: 'ffmpeg',
      found: ffmpeg.failure,
      grade: 'poor',
      meaning: 'no recording can be read: install ffmpeg',
    }
  const { version, from, rubberband } = ffmpeg
  return {
    about: 'ffmpeg',
    found: `${version}, from ${from}`,
    grade: rubberband ? 'good' : 'fair',
    meaning: rubberband ? 'stretches with rubberband' : 'has no rubberband: stretches with atempo, less exactly',
  }
}

function base({ base }: DoctorReport): Finding {
  if (base.failure !== undefined)
    return { about: 'Base', found: base.failure, grade: 'poor', meaning: base.hint ?? 'no training on it' }
  const { path, release, isBundled, blocks, width, parameters, fingerprint, hasVocoder, textEncoder } = base
  const sizes = `${blocks} blocks of width ${width}, ${(parameters / 1e6).toFixed(1)} million audio parameters`
  if (isBundled)
    return {
      about: 'Base',
      found: `the small bundled one: ${sizes}`,
      grade: 'fair',
      meaning: `it was trained on generated sound only, for trying the tool, and has ${hasVocoder ? 'a' : 'no'} vocoder; --model <file> examines a real one`,
    }
  const { gemma, version, layers } = textEncoder ?? {}
  const encoder = textEncoder
    ? `text encoder ${textEncoder.path}: ${version ?? `Gemma ${gemma}`}, ${layers} layers`
    : 'without a text encoder: add --text-encoder, unless all captions are encoded already'
  return {
    about: 'Base',
    found: `LTX-${release}, ${path}: ${sizes}`,
    grade: 'good',
    meaning: [
      `fingerprint ${fingerprint}`,
      encoder,
      ...(hasVocoder ? [] : ['no vocoder: previews end at 8 kHz (--renderer griffin-lim)']),
      ...(release === '2.5' ? ['whether it is dev or distilled, the files do not show'] : []),
    ].join('; '),
  }
}

/** Checkpoints of a LoRA, previews and encoded clips; the base itself stays where it is. */
const comfortableBytes = 5e9

function disk({ disk: { folder, freeBytes } }: DoctorReport): Finding {
  const fits = freeBytes >= comfortableBytes
  return {
    about: 'Disk',
    found: `${sizeText(freeBytes)} free in ${folder}`,
    grade: fits ? 'good' : 'fair',
    meaning: fits ? '' : 'a long training with many checkpoints may not fit',
  }
}

function cache({ cache }: DoctorReport): Finding {
  const row = { about: 'Cache', found: foundIn(cache) }
  if (cache.obstacle === undefined)
    return { ...row, grade: 'good', meaning: 'encoded clips and captions; may be deleted' }
  const meaning = `${cache.obstacle}: everything is encoded each time; set LTX_A2A_CACHE to another folder`
  return { ...row, grade: 'fair', meaning }
}

function data({ data }: DoctorReport): Finding {
  const row = { about: 'Data', found: foundIn(data) }
  if (data.bytes > 0) return { ...row, grade: 'good', meaning: `what ${setUp} made; --undo removes it` }
  if (data.obstacle === undefined) return { ...row, grade: 'good', meaning: '' }
  return { ...row, grade: 'fair', meaning: `${data.obstacle}: for ${setUp}, set LTX_A2A_DATA to another folder` }
}

const foundIn = ({ folder, bytes }: UserFolder) => (folder === null ? 'none' : `${sizeText(bytes)} in ${folder}`)

function proxies({ proxies }: DoctorReport): Finding {
  const given = Object.entries(proxies).map(([name, value]) => `${name}=${value}`)
  if (given.length === 0) return { about: 'Proxies', found: 'none', grade: 'good', meaning: '' }
  const meaning = 'npm, pip, ltx-a2a pull and downloads of datasets use them'
  return { about: 'Proxies', found: given.join(', '), grade: 'good', meaning }
}
