import { expect, it } from 'vitest'
import { withoutCommands } from '../../src/platform/client-text.ts'

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
