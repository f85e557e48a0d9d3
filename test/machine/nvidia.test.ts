import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Card, cardText, chooseCard, obstacleOf, readCards, visibleCards } from '../../src/machine/nvidia.ts'
import { type CardFields, cards, fakeNvidiaSmi, fakeProgram } from './nvidia-smi.ts'

afterEach(() => void vi.unstubAllEnvs())

const emptyFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-nvidia-'))
/** The cards that a fake nvidia-smi reports. */
const reported = async (...list: CardFields[]) =>
  (await readCards({ programs: [join(fakeNvidiaSmi(...list), 'nvidia-smi')] })).cards

const gib = 2 ** 30

describe('the graphics cards of a machine', () => {
  it('are found with nvidia-smi on the PATH', async () => {
    vi.stubEnv('PATH', fakeNvidiaSmi(cards.rtx3070, cards.rtx4090))
    expect((await readCards({ driverFolder: emptyFolder() })).cards).toEqual([
      {
        index: 0,
        name: 'NVIDIA GeForce RTX 3070',
        uuid: cards.rtx3070.uuid,
        totalBytes: 8 * gib,
        freeBytes: 7812 * 2 ** 20,
        driver: '535.183.01',
        computeCapability: '8.6',
      },
      expect.objectContaining({ index: 1, name: 'NVIDIA GeForce RTX 4090', totalBytes: 24_564 * 2 ** 20 }),
    ])
  })

  it('are none without a driver, and with a driver that finds none', async () => {
    vi.stubEnv('PATH', emptyFolder())
    const sources = { programs: ['nvidia-smi'], driverFolder: join(emptyFolder(), 'none') }
    expect(await readCards(sources)).toEqual({ cards: [] })
    expect(await reported()).toEqual([])
  })

  it('are found with a driver that does not know compute capabilities', async () => {
    const [card] = await reported(cards.oldDriver)
    expect(card).toMatchObject({ name: 'Tesla T4', driver: '470.82.01', freeBytes: 15_000 * 2 ** 20 })
    expect(card).not.toHaveProperty('computeCapability')
  })

  it('have no memory of their own if nvidia-smi reports none', async () => {
    const [card] = await reported(cards.integrated)
    expect(card).toEqual({
      index: 0,
      name: 'NVIDIA GH200',
      uuid: cards.integrated.uuid,
      driver: '550.54.15',
      computeCapability: '9.0',
    })
  })

  it('are listed between messages of nvidia-smi', async () => {
    const csv =
      'Warning: infoROM is corrupted\n1, GPU-1, 550.1, 100, 90, 8.0, [N/A], A card\n2, , , , , , , [Unknown Error]\n'
    const program = join(fakeProgram(`#!/bin/sh\necho '${csv}'\n`), 'nvidia-smi')
    expect(await readCards({ programs: [program] })).toEqual({
      cards: [
        expect.objectContaining({ index: 1, name: 'A card', freeBytes: 90 * 2 ** 20 }),
        { index: 2, name: '[Unknown Error]' },
      ],
    })
  })

  it('may have names with commas, which change nothing else', async () => {
    const [card] = await reported({ ...cards.rtx3070, name: 'A card, revised, 8.0' })
    expect(card).toMatchObject({ name: 'A card, revised, 8.0', driver: '535.183.01', computeCapability: '8.6' })
  })

  it('have no known memory if they are divided into parts', async () => {
    const [card] = await reported({ ...cards.rtx4090, 'mig.mode.current': 'Enabled' })
    expect(card).toMatchObject({ isPartitioned: true, computeCapability: '8.9' })
    expect(card).not.toHaveProperty('totalBytes')
    expect((await reported({ ...cards.rtx4090, 'mig.mode.current': 'Disabled' }))[0]).not.toHaveProperty(
      'isPartitioned',
    )
  })

  it.each<[what: string, script: string, failure: string]>([
    [
      'that fails',
      `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"; exit 9`,
      "nvidia-smi fails: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
    ],
    [
      'that fails without an exit code',
      'echo "Failed to initialize NVML"',
      'nvidia-smi fails: Failed to initialize NVML',
    ],
    ['that prints without end', 'yes', 'nvidia-smi fails: '],
  ])('are not said to be none with an nvidia-smi %s', async (_, script, failure) => {
    const program = join(fakeProgram(`#!/bin/sh\n${script}\n`), 'nvidia-smi')
    const reading = await readCards({ programs: [program], driverFolder: emptyFolder() })
    expect(reading).toEqual({ cards: [], failure: expect.stringContaining(failure) })
    expect(reading.failure?.length).toBeLessThan(400)
  })

  it('have the version of an open driver', async () => {
    const driverFolder = emptyFolder()
    writeFileSync(
      join(driverFolder, 'version'),
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (dvs-builder)\n',
    )
    mkdirSync(join(driverFolder, 'gpus', '0000:01:00.0'), { recursive: true })
    writeFileSync(join(driverFolder, 'gpus', '0000:01:00.0', 'information'), 'Model: \t\t NVIDIA H100\n')
    const { cards } = await readCards({ programs: [join(emptyFolder(), 'nvidia-smi')], driverFolder })
    expect(cards).toMatchObject([{ name: 'NVIDIA H100', driver: '560.35.03' }])
  })

  it('are found in the files of the driver if nvidia-smi is missing, fails, or does not answer', async () => {
    const driverFolder = emptyFolder()
    writeFileSync(
      join(driverFolder, 'version'),
      'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12\n',
    )
    const information = (name: string, uuid: string) => `Model: \t\t ${name}\nIRQ:   \t\t 57\nGPU UUID: \t ${uuid}\n`
    for (const [address, text] of [
      ['0000:81:00.0', information('NVIDIA H200', 'GPU-????????-????-????-????-????????????')],
      ['0000:01:00.0', information('NVIDIA H100', cards.rtx4090.uuid)],
    ] as const) {
      mkdirSync(join(driverFolder, 'gpus', address), { recursive: true })
      writeFileSync(join(driverFolder, 'gpus', address, 'information'), text)
    }
    const expected = [
      { index: 0, name: 'NVIDIA H100', uuid: cards.rtx4090.uuid, driver: '535.183.01' },
      { index: 1, name: 'NVIDIA H200', driver: '535.183.01' },
    ]
    const failing = fakeProgram(
      '#!/bin/sh\necho "Failed to initialize NVML: Driver/library version mismatch"\nexit 18\n',
    )
    const silent = fakeProgram('#!/bin/sh\ntrap "" TERM\necho called >> "$(dirname "$0")/calls"\nsleep 30\n') // its child keeps the output open
    const inFolder = (folder: string) => readCards({ programs: [join(folder, 'nvidia-smi')], driverFolder })
    expect(await inFolder(emptyFolder())).toEqual({ cards: expected })
    const failure = 'nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch'
    expect(await inFolder(failing)).toEqual({ cards: expected, failure })
    const sources = { programs: [join(silent, 'nvidia-smi')], driverFolder, timeoutSeconds: 0.3 }
    expect(await readCards(sources)).toEqual({
      cards: expected,
      failure: expect.stringMatching(/nvidia-smi did not answer within 0\.3 s$/),
    })
    expect(readFileSync(join(silent, 'calls'), 'utf8')).toBe('called\n') // once: each call takes as long as it may
  }, 20_000)
})

describe('CUDA_VISIBLE_DEVICES', () => {
  const three: Card[] = ['GPU-aa11', 'GPU-aa22', 'GPU-bb33'].map((uuid, index) => ({ index, name: 'A card', uuid }))
  const visible = (variable?: string) => visibleCards(three, variable).map(({ index }) => index)

  it('is all cards if it is not set', () => {
    vi.stubEnv('CUDA_VISIBLE_DEVICES', undefined)
    expect(visible()).toEqual([0, 1, 2])
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '2')
    expect(visible()).toEqual([2])
  })

  it.each<[variable: string, indices: number[]]>([
    ['1', [1]],
    ['2,0', [2, 0]],
    [' 0 , 2 ', [0, 2]],
    ['', []],
    ['-1', []],
    ['0,-1,1', [0]],
    ['0,7,1', [0]], // an unknown card ends the list
    ['0,,1', [0]],
    ['NoDevFiles', []],
    ['GPU-bb33', [2]],
    ['GPU-bb,GPU-aa1', [2, 0]],
    ['GPU-aa', []], // two cards
    ['1,1', [1]],
    ['GPU-aa22,0', [1, 0]],
  ])('"%s" is the cards %j', (variable, indices) => expect(visible(variable)).toEqual(indices))
})

describe('a graphics card', () => {
  it('is the one with the most free memory of those that can be used', async () => {
    const chosen = async (...list: CardFields[]) => chooseCard(await reported(...list))?.name
    expect(await chosen()).toBeUndefined()
    expect(await chosen(cards.rtx3070)).toBe('NVIDIA GeForce RTX 3070')
    expect(await chosen(cards.rtx3070, cards.rtx4090, cards.rtx5090)).toBe('NVIDIA GeForce RTX 4090')
    expect(await chosen(cards.rtx3070, { ...cards.rtx4090, 'memory.free': '500' })).toBe('NVIDIA GeForce RTX 3070')
    expect(await chosen(cards.integrated, cards.rtx3070)).toBe('NVIDIA GeForce RTX 3070')
    expect(await chosen(cards.gtx980, cards.rtx5090)).toBeUndefined()
    expect(await chosen(cards.oldDriver)).toBeUndefined()
  })

  it('is the first of several with the same free memory', () => {
    const card = (index: number): Card => ({ index, name: 'A card', freeBytes: 8 * gib })
    expect(chooseCard([card(0), card(1), card(2)])?.index).toBe(0)
    expect(chooseCard([{ index: 0, name: 'A card' }])?.index).toBe(0) // of unknown memory
  })

  it('that TensorFlow cannot use has one sentence that says why', async () => {
    const obstacles = (await reported(cards.rtx5090, cards.gtx980, cards.rtx4090)).map((card) => obstacleOf(card))
    expect(obstacles).toEqual([
      'its compute capability 12.0 is newer than the code of TensorFlow 2.21, which ends with 9.0',
      'its compute capability 5.2 is older than the code of TensorFlow 2.21, which begins with 6.0',
      undefined,
    ])
    const [old] = await reported(cards.oldDriver)
    expect(old && obstacleOf(old)).toBe(
      'its driver 470.82.01 is too old for the CUDA of TensorFlow 2.21, which needs 525.60.13 or later',
    )
  })

  it('is compared with the limits number by number', () => {
    const card = (driver: string, computeCapability: string): Card => ({
      index: 0,
      name: 'x',
      driver,
      computeCapability,
    })
    const isUsable = (...facts: Parameters<typeof card>) => obstacleOf(card(...facts)) === undefined
    expect(['525.60.13', '525.60.2', '525.100', '525', '1000.1'].map((driver) => isUsable(driver, '8.6'))).toEqual([
      ...[true, false, true, false, true],
    ])
    expect(['5.3', '6.0', '6.1', '9.0', '10.0', '12.1'].map((capability) => isUsable('550.1', capability))).toEqual([
      ...[false, true, true, true, false, false],
    ])
    expect(obstacleOf({ index: 0, name: 'A card' })).toBeUndefined() // nothing is known of it
  })

  it('is usable if the build of TensorFlow has code for it', () => {
    const build = { name: 'TensorFlow 2.30', computeCapabilities: ['7.0', '12.0'], driver: '580.65.06' } as const
    const card: Card = { index: 0, name: 'A card', driver: '590.1', computeCapability: '12.0' }
    expect(obstacleOf(card, build)).toBeUndefined()
    expect(obstacleOf({ ...card, driver: '570.1' }, build)).toContain('needs 580.65.06 or later')
  })

  it('has a number and a name in messages', () => {
    expect(cardText({ index: 2, name: 'NVIDIA H200' })).toBe('GPU 2, NVIDIA H200')
  })
})
