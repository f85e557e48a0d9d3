import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cudaBuildOf } from '../../src/engine/cuda-build.ts'
import { cudaWheel } from '../../src/machine/nvidia.ts'

/** The build of a package with this `build_info.py`; without one by default. */
function buildWith(info?: string) {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-build-'))
  mkdirSync(join(folder, 'python', 'platform'), { recursive: true })
  if (info !== undefined) writeFileSync(join(folder, 'python', 'platform', 'build_info.py'), info)
  return cudaBuildOf(join(folder, 'libtensorflow_cc.so.2'))
}

/** As the wheel of TensorFlow 2.21 has it, with other versions. */
const infoOf = (capabilities: string, cuda: string) =>
  `build_info = collections.OrderedDict([('cpu_compiler', 'clang'), ('cuda_compute_capabilities', [${capabilities}]), ` +
  `('cuda_version', '${cuda}'), ('cudnn_version', '9'), ('is_cuda_build', True), ('is_rocm_build', False)])`

describe('the build of a TensorFlow', () => {
  it('has the limits that its Python package names', () => {
    const wheel = buildWith(infoOf("'sm_60', 'sm_70', 'sm_80', 'sm_89', 'compute_90'", '12.5.1'))
    expect(wheel).toEqual({ ...cudaWheel, name: 'this build of TensorFlow' })
    expect(buildWith(infoOf("'sm_90a', 'compute_120', 'sm_75', 'sm_103'", '13.0.2'))).toMatchObject({
      computeCapabilities: ['7.5', '12.0'],
      driver: '580.65.06',
    })
  })

  it('has no limits if it computes on processors only', () => {
    const info = "build_info = collections.OrderedDict([('is_cuda_build', False), ('is_rocm_build', False)])"
    expect(buildWith(info)).toBeUndefined()
  })

  it('is taken for the wheel of 2.21 if it says nothing', () => {
    expect(buildWith()).toEqual({ ...cudaWheel, isAssumed: true })
    expect(buildWith('build_info = {}')).toMatchObject({ ...cudaWheel, name: expect.any(String) })
  })
})
