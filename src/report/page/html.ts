/** Markup in which everything that is not markup is escaped: names and captions come out of archives. */
export type Markup = { readonly markup: string }

type Part = Markup | string | number | false | undefined | readonly Part[]

/** A template of markup: `` html`<b>${name}</b>` ``. Lists are joined, `false` and `undefined` are nothing. */
export const html = (strings: TemplateStringsArray, ...parts: Part[]): Markup => ({
  markup: strings.reduce((text, string, i) => text + markupOf(parts[i - 1]) + string),
})

/** Text that is markup already. */
export const raw = (markup: string): Markup => ({ markup })

function markupOf(part: Part): string {
  if (part === undefined || part === false) return ''
  if (Array.isArray(part)) return part.map(markupOf).join('')
  if (typeof part === 'object') return (part as Markup).markup
  return escaped(String(part))
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => entities[character] as string)
