import { describe, expect, it } from 'vitest'
import { openBase } from '../../src/model/base-model.ts'
import { UserError } from '../../src/platform/errors.ts'

describe('opening a base is refused with one sentence when', () => {
  it.each<[options: unknown, message: string]>([
    [null, 'the options of the base are null, not an object'],
    ['ltx.safetensors', 'the options of the base are "ltx.safetensors", not an object'],
    [['a'], 'the options of the base are a list of 1, not an object'],
    [{ model: 5 }, 'model must be a path that is not empty, not 5'],
    [{ model: ' ' }, 'model must be a path that is not empty, not " "'],
    [{ model: 'a', textEncoder: {} }, 'textEncoder must be a path that is not empty, not an object'],
    [{ model: null }, 'model must be a path that is not empty, not null'],
    [{ textEmbeddings: true }, 'textEmbeddings must be a path that is not empty, not true'],
  ])('its options are %j', (options, message) => {
    expect(() => openBase(options as never)).toThrow(UserError)
    expect(() => openBase(options as never)).toThrow(message)
  })
})
