import { expect, test } from 'vitest'
import { findPairs } from '../../src/dataset/pairs.ts'
import { condenseProblems, type Problem } from '../../src/dataset/problem.ts'

test('at most 20 problems of a kind are listed, then a sentence on the others', () => {
  const paths = Array.from({ length: 9500 }, (_, i) => [`x/${i} a_end.wav`, `b${i}_start.wav`]).flat()
  const { problems } = findPairs(paths)
  expect(problems).toHaveLength(19_000)
  const condensed = condenseProblems(problems)
  expect(condensed).toHaveLength(42)
  expect(condensed.filter(({ file }) => file === undefined)).toEqual([
    { severity: 'error', message: '9480 more like this: … has no reference …_start' },
    { severity: 'warning', message: '9480 more like this: … has no target …_end and is not used' },
  ])
})

test('problems of different kinds are all listed, in their order', () => {
  const problem = (i: number): Problem => ({
    severity: 'warning',
    message: `f${i} has the defect ${'abc'[i % 3]}`,
    file: `f${i}`,
  })
  const problems = Array.from({ length: 60 }, (_, i) => problem(i))
  expect(condenseProblems(problems)).toEqual(problems)
  expect(condenseProblems([...problems, problem(61)]).slice(60)).toEqual([
    { severity: 'warning', message: '1 more like this: … has the defect b' },
  ])
})

test('numbers that are part of a word belong to the kind', () => {
  const problems = Array.from({ length: 21 }, (_, i): Problem => ({ severity: 'error', message: `${i}.5 s of .mp3` }))
  expect(condenseProblems(problems).at(-1)?.message).toBe('1 more like this: … s of .mp3')
})
