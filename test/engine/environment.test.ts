import { describe, expect, it } from 'vitest'
import { setEnvironment, unlessSet } from '../../src/engine/environment.ts'

describe('variables of the environment', () => {
  it('are set for native libraries too, and restored', () => {
    const name = 'LTX_A2A_TEST_VARIABLE'
    /** What `getenv` finds. */
    const native = () =>
      (process.report.getReport() as { environmentVariables: Record<string, string> }).environmentVariables[name]
    const restore = setEnvironment({ [name]: '1' })
    expect([process.env[name], native()]).toEqual(['1', '1'])
    const restoreInner = setEnvironment({ [name]: '2' })
    expect(native()).toBe('2')
    restoreInner()
    expect(native()).toBe('1')
    restore()
    expect([process.env[name], native()]).toEqual([undefined, undefined])
  })

  it('are left as they are if they are set, even to nothing', () => {
    expect(unlessSet({ A: '1', B: '2', C: '3' }, { A: '0', B: '' })).toEqual({ C: '3' })
  })
})
