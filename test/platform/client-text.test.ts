import { tmpdir } from 'node:os'
import { expect, it } from 'vitest'
import { withoutCommands, withoutFolders } from '../../src/platform/client-text.ts'

it.each([
  ['ltx-a2a fix-dataset repairs it', ''],
  [
    'a duplicate counts twice in training: leave one out, as ltx-a2a fix-dataset does',
    'a duplicate counts twice in training: leave one out',
  ],
  [
    'make room, then resume from the last state: ltx-a2a train --resume runs/x',
    'make room, then resume from the last state',
  ],
  [
    'split the dataset, pack it as mp3 or flac, or raise it with --limit download-mib=9',
    'split the dataset, pack it as mp3 or flac',
  ],
  ['ltx-a2a inspect-dataset shows 3 more hints on this dataset', ''],
  ['--model chooses another; export it again', 'export it again'],
  ['check the path and the permissions', 'check the path and the permissions'],
])('%s', (text, shown) => expect(withoutCommands(text)).toBe(shown))

it.each([
  [
    "ENOENT: no such file or directory, open '/srv/my data/runs/x.json'",
    "ENOENT: no such file or directory, open 'x.json'",
  ],
  ['/srv/data/pairs.zip is not a zip', 'pairs.zip is not a zip'],
  ['read (/home/me/a.wav, /tmp/b.wav)', 'read (a.wav, b.wav)'],
  ['in file:///srv/data/a.wav and ~/runs/b.wav', 'in a.wav and b.wav'],
  ['C:\\Users\\me\\a.wav is silent', 'a.wav is silent'],
  ['https://example.com:80/a/b.zip answered 404', 'https://example.com:80/a/b.zip answered 404'],
  ['http://[::1]/a/b.zip', 'http://[::1]/a/b.zip'],
  ['voices/one_start.wav has 1.5 steps/s and 3 s/step', 'voices/one_start.wav has 1.5 steps/s and 3 s/step'],
  [`384 kB of temporary files in ${tmpdir()}`, '384 kB of temporary files in the temporary folder'],
])('%s without folders', (text, shown) => expect(withoutFolders(text)).toBe(shown))
