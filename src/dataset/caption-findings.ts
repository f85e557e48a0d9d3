/** What is wrong with words: captions that are missing here and there, too long, or at odds with the trigger phrase. */
import type { DatasetOptions } from './dataset.ts'
import { type Finding, findingIn } from './finding.ts'
import type { DatasetPair } from './inspection.ts'

/** The text encoder reads 1024 tokens; a token of English has about four letters. */
const longestCaption = 3000

export function captionFindings(pairs: readonly DatasetPair[], { triggerPhrase }: DatasetOptions): Finding[] {
  const trigger = triggerPhrase.trim()
  const own = (caption: string) => (trigger && caption.startsWith(trigger) ? caption.slice(trigger.length) : caption)
  const which = (is: (own: string) => boolean) =>
    pairs.filter(({ caption }) => is(own(caption).trim())).map(({ name }) => ({ name }))
  const bare = which((caption) => caption === '')
  const some = bare.length > 0 && bare.length < pairs.length
  return [
    ...findingIn(trigger ? which((caption) => caption.toLowerCase().includes(trigger.toLowerCase())) : [], {
      kind: 'trigger-inside',
      severity: 'warning',
      what: `Trigger phrase "${trigger}" twice, or spelt otherwise`,
      hint: 'it is put before every caption: take it out of them, or spell it the same way at their start',
    }),
    ...findingIn(
      which((caption) => caption.length > longestCaption),
      {
        kind: 'long-caption',
        severity: 'warning',
        what: 'Caption longer than the text encoder reads',
        hint: 'a sentence or two of what is heard is enough',
      },
    ),
    ...findingIn(some ? bare : [], {
      kind: 'no-caption',
      severity: 'hint',
      what: 'No caption, though others have one',
      hint: 'describe what is heard in all pairs alike, or in none',
    }),
  ]
}
