import { expect, test } from 'vitest'
import { firstRepeatedKey } from '../../src/platform/json.ts'

test.each([
  ['{"a": 1, "b": 2, "a": 3}', 'a'],
  ['{"a": {"b": 1, "b": 2}}', 'b'],
  ['[{"a": 1}, {"b": [{"c": 1, "\\u0063" : 2}]}]', 'c'],
  ['{"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}', undefined],
  ['{"a": "a", "b": "}{\\"a\\": 1, \\"a\\": 2"}', undefined],
  ['{"__proto__": 1, "__proto__": 2}', '__proto__'],
  ['["a", "a"]', undefined],
  ['1', undefined],
])('the first key that %s has twice is %s', (json, key) => {
  JSON.parse(json)
  expect(firstRepeatedKey(json)).toBe(key)
})
