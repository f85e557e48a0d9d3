import { describe, expect, it } from 'vitest'
import { camelCase, type Parameters, snakeCase } from '../../src/config/parameter.ts'
import { previewParameters, trainParameters, videoFields } from '../../src/config/parameters.ts'

const tables: [name: string, table: Parameters][] = [
  ['train', trainParameters],
  ['preview', previewParameters],
]

describe.each(tables)('every parameter of %s', (_, table) => {
  it.each(Object.entries(table))('%s', (name, parameter) => {
    expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/)
    expect(snakeCase(camelCase(name)), 'the name survives both spellings').toBe(name)
    expect(parameter.help, 'the help is a clause without a full stop').toMatch(/^\S.*[^.\s]$/)
    expect(parameter.group).not.toBe('')
    if (parameter.default !== undefined && !(parameter.combineTexts && String(parameter.default) === ''))
      expect(parameter.schema.safeParse(parameter.default).success, 'the default is allowed').toBe(true)
    expect(parameter.required && parameter.default !== undefined, 'what is required has no default').toBeFalsy()
  })
})

describe('the table of training parameters', () => {
  it('has every name of the hosted trainer, and marks the others as extensions', () => {
    const shared = Object.entries<Parameters[string]>(trainParameters).filter(([, { extension: ours }]) => !ours)
    expect(shared.map(([name]) => name).sort()).toEqual([
      'audio_duration_seconds',
      'audio_normalize',
      'audio_preserve_pitch',
      'debug_dataset',
      'learning_rate',
      'number_of_steps',
      'rank',
      'split_input_duration_threshold',
      'split_input_into_scenes',
      'stg_scale',
      'training_data_url',
      'trigger_phrase',
      'validation',
      'validation_frame_rate',
      'validation_negative_prompt',
    ])
  })

  it('shares no name with the video fields', () => {
    expect(videoFields.filter((name) => Object.hasOwn(trainParameters, name))).toEqual([])
  })
})
