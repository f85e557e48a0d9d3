import { describe, expect, it } from 'vitest'
import { camelCase, type Parameters, snakeCase } from '../../src/config/parameter.ts'
import { previewParameters, trainParameters, videoFields } from '../../src/config/parameters.ts'

const tables: [name: string, table: Parameters][] = [
  ['train', trainParameters],
  ['preview', previewParameters],
]

describe.each(tables)('the parameter of %s is valid:', (_, table) => {
  it.each(Object.entries(table))('%s', (name, parameter) => {
    expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/)
    expect(snakeCase(camelCase(name)), 'the name survives conversion to camel case and back').toBe(name)
    expect(parameter.help, 'the help text has no full stop').toMatch(/^\S.*[^.\s]$/)
    expect(parameter.group).not.toBe('')
    if (parameter.default !== undefined && !(parameter.combineTexts && String(parameter.default) === ''))
      expect(parameter.schema.safeParse(parameter.default).success, 'the default is valid').toBe(true)
    expect(parameter.required && parameter.default !== undefined, 'a required parameter has no default').toBeFalsy()
  })
})

describe('the table of training parameters', () => {
  it('contains the parameters of the hosted trainer and marks all others as extensions', () => {
    const shared = Object.entries<Parameters[string]>(trainParameters).filter(([, { extension }]) => !extension)
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
