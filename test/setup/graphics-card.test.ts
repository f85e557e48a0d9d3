/** Which graphics card a command uses, with fake programs `nvidia-smi` and a stand-in for TensorFlow with CUDA. */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tinyRun, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import type { DoctorReport } from '../../src/setup/doctor.ts'
import { findings } from '../../src/setup/doctor-findings.ts'
import { newFolder, spawnLtxA2a } from '../cli/bin.ts'
import { fakeAddon } from '../engine/fake-addon.ts'
import { type CardFields, cards, fakeNvidiaSmi } from '../machine/nvidia-smi.ts'

/** The report on a machine with these cards, and the environment that TensorFlow was loaded in. */
async function doctor(list: CardFields[], env: Record<string, string> = {}) {
  const log = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-card-')), 'env.json')
  const PATH = `${fakeNvidiaSmi(...list)}:${process.env.PATH}`
  const LTX_A2A_DATA = fakeAddon()
  const result = await spawnLtxA2a(['doctor', '--json'], { env: { PATH, LTX_A2A_DATA, FAKE_ADDON_LOG: log, ...env } })
  expect(result.code, result.stderr).toBe(0)
  const seen: Record<string, string> = JSON.parse(readFileSync(log, 'utf8'))
  return { report: JSON.parse(result.stdout) as DoctorReport, seen }
}

describe('native TensorFlow', () => {
  it('is loaded with one card visible, exact float32 and deterministic ops', async () => {
    const { report, seen } = await doctor([cards.rtx3070, cards.rtx4090, cards.rtx5090])
    expect(seen).toMatchObject({
      CUDA_VISIBLE_DEVICES: cards.rtx4090.uuid,
      CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
      NVIDIA_TF32_OVERRIDE: '0',
      TF_DETERMINISTIC_OPS: '1',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    })
    expect(report.backend.description).toBe('TensorFlow 2.21.0 on GPU 1, NVIDIA GeForce RTX 4090, from a test')
    expect(report.backend.notices).toEqual([expect.stringContaining('GPU 2, NVIDIA GeForce RTX 5090, is not used')])
  })

  it('is loaded with the settings of the user', async () => {
    const own = { NVIDIA_TF32_OVERRIDE: '1', TF_DETERMINISTIC_OPS: '0', TF_FORCE_GPU_ALLOW_GROWTH: 'false' }
    const { seen } = await doctor([cards.rtx3070, cards.rtx4090], { ...own, CUDA_VISIBLE_DEVICES: '0' })
    expect(seen).toMatchObject({ ...own, CUDA_VISIBLE_DEVICES: cards.rtx3070.uuid })
  })

  it('computes on the processor if it has no code for the card, and says why', async () => {
    const { report, seen } = await doctor([cards.rtx5090])
    expect(seen.CUDA_VISIBLE_DEVICES).toBe('-1')
    expect(seen).not.toHaveProperty('TF_DETERMINISTIC_OPS')
    expect(report.backend.description).toBe('TensorFlow 2.21.0 on the CPU, from a test')
    expect(report.backend.notices).toEqual([expect.stringContaining('compute capability 12.0 is newer')])
  })
})

describe('the doctor', () => {
  it('names each card, the one in use, and why the others are not', async () => {
    const { report } = await doctor([cards.rtx3070, cards.rtx4090, cards.rtx5090])
    expect(report.cards).toEqual(['NVIDIA GeForce RTX 3070', 'NVIDIA GeForce RTX 4090', 'NVIDIA GeForce RTX 5090'])
    expect(report.graphicsCards.map(({ isUsed, isVisible }) => [isUsed, isVisible])).toEqual([
      [false, true],
      [true, true],
      [false, true],
    ])
    expect(report.graphicsCards[2]?.obstacle).toContain('compute capability 12.0')
    expect(findings(report).map(({ meaning }) => meaning)).toContain(
      'not used: CUDA_VISIBLE_DEVICES=0 chooses it instead of GPU 1',
    )
  })

  it('names the command that uses a card, if TensorFlow computes on the processor', async () => {
    const { report } = await doctor([cards.rtx4090], { FAKE_ADDON_DEVICE: 'CPU' })
    expect(report.graphicsCards).toMatchObject([{ name: 'NVIDIA GeForce RTX 4090', isUsed: false }])
    const [row] = findings(report).filter(({ about }) => about === 'Graphics card')
    expect(row?.meaning).toBe('not used: ltx-a2a setup-tensorflow sets up a TensorFlow that uses it')
  })

  it('names an old driver, and cards that are hidden', async () => {
    const old = await doctor([cards.oldDriver])
    expect(old.report.graphicsCards[0]?.obstacle).toContain('its driver 470.82.01 is too old')
    const hidden = await doctor([cards.rtx4090], { CUDA_VISIBLE_DEVICES: '' })
    expect(hidden.report.graphicsCards).toMatchObject([{ isUsed: false, isVisible: false }])
    expect(hidden.seen.CUDA_VISIBLE_DEVICES).toBe('')
  })
})

describe('train', () => {
  it('is refused on a card with too little memory, with its numbers, and writes nothing', async () => {
    const cwd = newFolder()
    writeTinyData(cwd)
    const card = { ...cards.rtx3070, 'memory.total': '2500', 'memory.free': '2400' }
    const PATH = `${fakeNvidiaSmi(card)}:${process.env.PATH}`
    const { code, stderr } = await spawnLtxA2a(['train', ...tinyRun, '--out', 'run'], {
      cwd,
      env: { PATH, LTX_A2A_DATA: fakeAddon() },
    })
    expect(code).toBe(2)
    expect(stderr).toContain('Backend: tensorflow, TensorFlow 2.21.0 on GPU 0, NVIDIA GeForce RTX 3070, from a test')
    expect(stderr).toMatch(/Graphics memory: about 1\.\d+ GB of 487 MB/)
    expect(stderr).toMatch(
      /this run needs about 1\.\d+ GB of memory, but TensorFlow can use 591 MB of the 2\.62 GB of GPU 0, NVIDIA GeForce RTX 3070/,
    )
    expect(existsSync(join(cwd, 'run'))).toBe(false)
  })
})
