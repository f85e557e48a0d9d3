import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { openShards } from '../../src/formats/shards.ts'
import { openTextEncoder } from '../../src/model/text/text-encoder.ts'
import { pullModel } from '../../src/setup/pull-model.ts'
import { goldenPath } from '../golden/golden.ts'
import { type RangeServer, serveRanges, textFile } from './range-server.ts'

const original = goldenPath('tiny-gemma3')
const repository = 'google/gemma-3-12b-it-qat-q4_0-unquantized'
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-text-'))
let server: RangeServer

/** The same weights in the layout of the Hugging Face Hub: in shards with an index, including the vision tower. */
function writeRelease(to: string) {
  mkdirSync(to)
  const stored = openSafetensors(join(original, 'model.safetensors'))
  const names = [...stored.tensors.keys()]
  const vision: [string, StoredTensor][] = ['vision_tower.patch.weight', 'multi_modal_projector.weight'].map((name) => [
    name,
    { dtype: 'BF16', shape: [64, 64], bytes: new Uint8Array(8192) },
  ])
  const shards = [
    names.slice(0, 30).map((name): [string, StoredTensor] => [name, stored.read(name)]),
    names.slice(30).map((name): [string, StoredTensor] => [name, stored.read(name)]),
    vision.filter(([name]) => !names.includes(name)),
  ]
  const weightMap: Record<string, string> = {}
  for (const [i, tensors] of shards.entries()) {
    const file = `model-0000${i + 1}-of-00003.safetensors`
    writeSafetensors(join(to, file), new Map(tensors), { format: 'pt' })
    for (const [name] of tensors) weightMap[name] = file
  }
  writeFileSync(join(to, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(original, file), join(to, file))
  stored.close()
}

beforeAll(async () => {
  writeRelease(join(folder, 'release'))
  server = await serveRanges()
  for (const file of readdirSync(join(folder, 'release')))
    server.files.set(
      `${repository}/resolve/main/${file}`,
      textFile(readFileSync(join(folder, 'release', file)), `"${file}"`),
    )
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

function fingerprintOf(path: string) {
  const encoder = openTextEncoder(path)
  try {
    return encoder.fingerprint()
  } finally {
    encoder.close()
  }
}

async function pullTo(out: string, from?: string) {
  const env = { HF_ENDPOINT: server.url('').replace(/\/$/, ''), HF_TOKEN: 'secret' }
  await pullModel({ textEncoder: true, out, from }, {}, { env, sleep: async () => {} })
}

describe('the text encoder', () => {
  it('is pulled from the hub by default without the vision tower and has the original fingerprint', async () => {
    const out = join(folder, 'from-hub')
    await pullTo(out)
    expect(readdirSync(out).sort()).toEqual([
      'config.json',
      'model-00001-of-00003.safetensors',
      'model-00002-of-00003.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    const pulled = openShards(out)
    expect([...pulled.tensors.keys()].filter((name) => /vision|multi_modal/.test(name))).toEqual([])
    pulled.close()
    expect(fingerprintOf(out)).toBe(fingerprintOf(original))
    expect(server.requests.every(({ headers }) => headers.authorization === 'Bearer secret')).toBe(true)
  })

  it('pulled from a local folder has the same bytes', async () => {
    const out = join(folder, 'from-here')
    await pullTo(out, join(folder, 'release'))
    const names = readdirSync(out)
    for (const name of names)
      expect(readFileSync(join(out, name)), name).toEqual(readFileSync(join(folder, 'from-hub', name)))
    expect(names.length).toBe(6)
  })

  it('has no index before it is complete', async () => {
    const out = join(folder, 'half')
    server.intercept = (request, response) => {
      if (!request.url?.endsWith('tokenizer.json')) return false
      response.writeHead(403).end()
      return true
    }
    await expect(pullTo(out)).rejects.toThrow('may not be read (403)')
    server.intercept = undefined
    expect(existsSync(join(out, 'model.safetensors.index.json'))).toBe(false)
    await pullTo(out)
    openTextEncoder(out).close()
  })

  it('is refused when the index contains a path outside its folder', async () => {
    const evil = join(folder, 'evil')
    mkdirSync(evil)
    writeFileSync(
      join(evil, 'model.safetensors.index.json'),
      '{"weight_map":{"model.norm.weight":"../../evil.safetensors"}}',
    )
    await expect(pullTo(join(folder, 'out'), evil)).rejects.toThrow('names the file "../../evil.safetensors"')
    expect(existsSync(join(folder, 'out'))).toBe(false)
  })

  it('is refused when the source contains none', async () => {
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    await expect(pullTo(join(folder, 'out'), empty)).rejects.toThrow('model.safetensors cannot be opened')
    writeSafetensors(
      join(empty, 'model.safetensors'),
      new Map([['vision.x', { dtype: 'U8', shape: [1], bytes: new Uint8Array(1) }]]),
    )
    await expect(pullTo(join(folder, 'out'), empty)).rejects.toThrow('has no text encoder')
  })
})
