/**
 * The projects. `unit`: pure code, seconds. `model`: the reference's numbers and the model's parts on the portable backend. `threads`: the reference's
 * numbers with two threads. `cli`: commands, whole trainings, ffmpeg and other processes. `native`: the reference's numbers and gradients on native
 * TensorFlow, which must be set up. The others with this name limit the instructions that its fused ops use. `webgpu`: the same numbers, the kernels and
 * a training on WebGPU, where there is an adapter.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const model = [
  'test/{diffusion,engine,fixtures,golden,model,pretrain,preview}/**/*.test.ts',
  'test/train/{requirements,resources,sampling,step,threads,trainer}.test.ts',
]

const cli = [
  'test/api.test.ts',
  'test/{apply,net,pages,server,setup}/**/*.test.ts',
  'test/audio/{decode,encode,ffmpeg,stretch}.test.ts',
  'test/cli/{bad-input,completion,fix-dataset,help,inspect-dataset,make-pairs,no-home,outputs,train}.test.ts',
  'test/dataset/{advice,clips,dataset,make-pairs,source,windows}.test.ts',
  'test/dataset/repair/fix-dataset.test.ts',
  'test/encode/text-embeddings.test.ts',
  'test/platform/lock.test.ts',
  'test/reliability/{audio,download,fuzz,kill,leaks,resume,run-failures,server-kill,signals}.test.ts',
  'test/report/run-report.test.ts',
  'test/worker/**/*.test.ts',
  'test/train/{decoding,windows,held-out,releases,train}.test.ts',
]

const native = [
  'test/{diffusion,engine,golden,native}/**/*.test.ts',
  'test/model/gradients/*.test.ts',
  'test/train/{step,trainer}.test.ts',
]

/** The text encoder is not computed on WebGPU in these tests: it takes minutes on a software adapter. */
const webgpu = [
  'test/golden/{audio-vae,sampler,switches,train,transformer,vocoder}.test.ts',
  'test/webgpu/**/*.test.ts',
  'test/train/step.test.ts',
]

/** What is compiled for several kinds of processors. */
const fusedOps = ['test/native/*.test.ts', 'test/model/gradients/*.test.ts']

/** The native TensorFlow that the user of this machine has set up is used by the project `native` only. */
const withoutNative = { LTX_A2A_DATA: join(tmpdir(), 'ltx-a2a-test-no-data') }

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: fileURLToPath(new URL('test/temp-folder.ts', import.meta.url)),
    isolate: false, // TensorFlow.js is loaded once; nothing may depend on a fresh process anyway
    maxWorkers: 2,
    // a small base with random weights, in place of the one that was trained
    // one thread: tests run in two processes, and threads that wait for each other need cores of their own
    env: { LTX_A2A_BASE: fileURLToPath(new URL('test/base', import.meta.url)), LTX_A2A_THREADS: '1' },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...model, ...cli, 'test/native/**', 'test/webgpu/**'],
          env: withoutNative,
          testTimeout: 60_000, // for busy machines; it takes seconds
        },
      },
      {
        extends: true,
        test: { name: 'model', include: model, env: withoutNative, testTimeout: 60_000, hookTimeout: 60_000 },
      },
      {
        extends: true,
        test: { name: 'cli', include: cli, env: withoutNative, testTimeout: 120_000, hookTimeout: 120_000 },
      },
      {
        extends: true,
        test: {
          name: 'threads',
          include: ['test/golden/**/*.test.ts'],
          env: { ...withoutNative, LTX_A2A_THREADS: '2' },
          maxWorkers: 1,
          sequence: { groupOrder: 1 }, // after the other projects: its threads need the cores
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'native',
          include: native,
          env: { LTX_A2A_BACKEND: 'tensorflow', LTX_A2A_PRECISION: 'float32' },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'webgpu',
          include: webgpu,
          env: { ...withoutNative, LTX_A2A_BACKEND: 'webgpu' },
          testTimeout: 300_000, // a software adapter compiles a program for seconds
          hookTimeout: 300_000,
        },
      },
      ...['baseline', 'avx2', 'avx512', 'avx512_bf16'].map((instructions) => ({
        extends: true as const,
        test: {
          name: `native ${instructions}`,
          include: fusedOps,
          env: { LTX_A2A_BACKEND: 'tensorflow', LTX_A2A_PRECISION: 'float32', LTX_A2A_INSTRUCTIONS: instructions },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      })),
    ],
  },
})
