import { describe, expect, test } from 'vitest'
import { checkFilterGraph, filtersOf } from '../../../src/audio/effects/filter-graph.ts'

test.each([
  ['highpass=f=300,acrusher=bits=6', ['highpass', 'acrusher']],
  ['asplit [a][b];\n [a] volume@left=0.5 [c]; [b][c]amix', ['asplit', 'volume', 'amix']],
  ["aeval='val(0)*if(gt(t,1),1,2)':c=same,anull", ['aeval', 'anull']],
  ['aeval=val(0)\\,0|val(1),anull', ['aeval', 'anull']],
  ["'amo'vie=a.wav", ['amovie']],
])('the filters of %s', (graph, names) => expect(filtersOf(graph).map(({ name }) => name)).toEqual(names))

test('the named options of a filter', () => {
  expect(filtersOf("loudnorm=I=-20:'stats_file'=a.txt:/measured_I=b[out]")[0]?.options).toEqual([
    'I',
    'stats_file',
    'measured_I',
  ])
})

describe('filters that no effect needs are refused in one sentence', () => {
  test.each([
    ['amovie=b.wav', 'amovie, which reads another recording'],
    ['volume=1,ametadata=print:file=a.wav', 'ametadata, which can overwrite files'],
    ['ametadata=print:::::a.wav', 'ametadata, which can overwrite files'],
    ['loudnorm=stats_file=a.txt', 'loudnorm, which writes a file with stats_file'],
    ['asplit[a][b];[b]showwaves,psnr=a.txt,nullsink;[a]anull', 'showwaves, which is one for pictures'],
  ])('%s', async (graph, message) => {
    await expect(checkFilterGraph(graph)).rejects.toMatchObject({
      name: 'UserError',
      message: `the effect ${graph} has the filter ${message}`,
    })
  })

  test.each(['highpass=f=300', 'asplit[a][b];[a]volume=0.5[c];[b][c]amix', 'arnndn=m=model.rnnn', 'no-filter', ''])(
    'not %s',
    (graph) => checkFilterGraph(graph),
  )
})
