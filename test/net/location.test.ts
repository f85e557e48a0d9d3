import { expect, test } from 'vitest'
import { datasetName, fileNameOf, parseLocation, shownLocation } from '../../src/net/location.ts'

test.each([
  ['pairs.zip', '/', { kind: 'path', path: 'pairs.zip' }],
  ['file:///data/my%20pairs.zip', '/', { kind: 'path', path: '/data/my pairs.zip' }],
  ['C:\\data\\pairs.zip', '\\', { kind: 'path', path: 'C:\\data\\pairs.zip' }],
  ['https://example.com/a.zip', '/', { kind: 'url', url: new URL('https://example.com/a.zip') }],
])('the location %s is parsed', (text, _, expected) => {
  expect(parseLocation(text)).toEqual(expected)
})

test.each([
  ['ftp://example.com/a.zip', 'ftp: locations are not supported'],
  ['s3://bucket/a.zip', 's3: locations are not supported'],
  ['https://', 'is not a usable URL'],
  ['file://elsewhere/a.zip', 'is not a usable file: URL'],
  ['ftp://me:pa@ss/wo?rd@host/a.zip?key=secret', 'ftp: locations are not supported: ftp://…@host/a.zip'],
  ['https://me:pa/ss@host/a.zip', 'https://…@host/a.zip is not a usable URL'],
  ['file://me:secret@host/a.zip', 'file://…@host/a.zip is not a usable file: URL'],
  [' ', 'the location is empty'],
])('the location %j is refused', (text, message) => {
  expect(() => parseLocation(text)).toThrow(message)
})

test('credentials and query strings of URLs are not shown', () => {
  const location = parseLocation('https://me:secret@example.com/a/pairs.zip?signature=secret#part')
  expect(shownLocation(location)).toBe('https://example.com/a/pairs.zip')
  expect(fileNameOf(location)).toBe('pairs.zip')
})

test.each([
  ['/data/pairs.zip', 'pairs'],
  ['/data/Drum Takes (2).ZIP', 'Drum-Takes-2'],
  ['/data/v1.2/', 'v1.2'],
  ['https://example.com/d/my%20pairs.zip?dl=1', 'my-pairs'],
  ['https://example.com/', 'dataset'],
  ['https://example.com/100%.zip', '100'],
  ['https://example.com/%2e%2e%2fup.zip', 'up'],
  ['/data/Gesänge.zip', 'Gesänge'],
  ['/data/Gesa\u0308nge.zip', 'Gesänge'],
  ['/data/हिन्दी.zip', 'हिन्दी'],
  ['/data/a: intro\n.zip', 'a-intro'],
  [`/data/${'ж'.repeat(127)}`, 'ж'.repeat(100)],
])('the dataset at %s is named %s', (location, name) => {
  expect(datasetName(parseLocation(location))).toBe(name)
})
