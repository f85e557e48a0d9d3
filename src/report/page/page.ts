/** HTML pages in a single file that need no network: the template of a page, its script and style, and escaped markup. */
import { printable } from '../../platform/text.ts'

/** `generator` names the command that writes the page. */
export type PageParts = {
  title: string
  generator: string
  lead: string | Markup
  sections: readonly (Markup | undefined)[]
}

export function page({ title, generator, lead, sections }: PageParts): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="${generator}">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
<header><h1>${title}</h1><p>${lead}</p></header>
<main>
${sections.flatMap((part) => (part ? [part] : []))}
</main>
<script>${raw(script)}</script>
</body>
</html>
`
  return document.markup
}

export const section = (title: string, ...content: (Markup | undefined)[]): Markup =>
  html`<section><h2>${title}</h2>${content}</section>\n`

/** A list of names and values. */
export const definitionList = (
  entries: readonly (readonly [name: string, value: string | number | Markup])[],
): Markup => html`<dl>${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`

/** The script of a page. One sound plays at a time, a line over its picture shows the position, and a click on the picture plays from there. */
const script = `
const sounds = [...document.querySelectorAll('figure')].filter((figure) => figure.querySelector('audio'))
for (const figure of sounds) {
  const audio = figure.querySelector('audio')
  const picture = figure.querySelector('.picture')
  const head = picture.querySelector('i')
  const follow = () => {
    head.style.opacity = 1
    head.style.left = (100 * audio.currentTime) / audio.duration + '%'
    if (!audio.paused) requestAnimationFrame(follow)
  }
  audio.addEventListener('play', () => {
    for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause()
    follow()
  })
  audio.addEventListener('seeked', follow)
  picture.addEventListener('click', ({ clientX }) => {
    const { left, width } = picture.getBoundingClientRect()
    audio.currentTime = (audio.duration * (clientX - left)) / width
    audio.play().catch(() => {})
  })
}
`

/** The style of a page: one column on a phone, more on wider screens, light or dark as the browser prefers. */
export const style = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #fff; --ink: #1d1c1a; --faint: #6b6862; --line: #e0ddd6; --grid: #ebe8e2;
  --good: #1a7f47; --fair: #a15c00; --bad: #c0352b;
  --series-0: #2f6fdb; --series-1: #d9662b; --series-2: #2a9d6a; --series-3: #a04fc4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161514; --card: #1f1e1c; --ink: #eceae6; --faint: #a29e96; --line: #383632; --grid: #2c2a27;
    --good: #5cc98a; --fair: #e2a24a; --bad: #f0786d;
    --series-0: #74a5f5; --series-1: #f29460; --series-2: #5fcf9d; --series-3: #cd8ce9;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 1180px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 24px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 20px 0 8px; overflow-wrap: anywhere; }
header p { margin: 4px 0 0; color: var(--faint); }
p { margin: 6px 0; max-width: 75ch; }
small, .faint { color: var(--faint); font-size: 13px; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); }
.charts { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
.card, figure { margin: 0; min-width: 0; padding: 12px; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 8px; align-items: baseline; margin-bottom: 8px; overflow-wrap: anywhere; }
figcaption small { flex-basis: 100%; }
.pair { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
.picture { position: relative; cursor: pointer; border-radius: 4px; overflow: hidden; background: #07061a; }
.picture img { display: block; width: 100%; height: 84px; }
.picture svg { display: block; width: 100%; height: 40px; background: var(--card); }
.picture path { fill: var(--series-0); }
.picture i { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; background: #fff; box-shadow: 0 0 0 1px #0008; opacity: 0; }
audio { display: block; width: 100%; height: 36px; margin-top: 8px; }
svg.chart { display: block; width: 100%; height: auto; }
svg.chart text { font: 14px system-ui, sans-serif; fill: var(--faint); }
svg.chart .grid { stroke: var(--grid); } svg.chart .axis { stroke: var(--line); } svg.chart .mark { stroke: var(--faint); stroke-dasharray: 4 3; }
.series-0 { --mark: var(--series-0); } .series-1 { --mark: var(--series-1); } .series-2 { --mark: var(--series-2); } .series-3 { --mark: var(--series-3); }
svg.chart circle { fill: var(--mark); }
.line { fill: none; stroke: var(--mark); stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 13px; }
.legend b { font-weight: 600; font-variant-numeric: tabular-nums; }
.legend span::before { content: ''; display: inline-block; width: 10px; height: 10px; margin-right: 5px; border-radius: 2px; background: var(--mark); }
.scroll { overflow-x: auto; }
@media (max-width: 640px) {
  .scroll:has(> .stacks) { overflow: visible; } .stacks, .stacks tbody { display: block; }
  .stacks thead { position: absolute; left: -9999px; }
  .stacks tr { display: grid; grid-template-columns: 1fr 1fr; gap: 2px 14px; padding: 8px 0; border-bottom: 1px solid var(--line); }
  .stacks td { display: block; padding: 2px 0 !important; border: 0; text-align: left !important; white-space: normal; overflow-wrap: anywhere; } .stacks td:first-child { grid-column: 1 / -1; }
  .stacks td[data-label]::before { content: attr(data-label) ': '; color: var(--faint); }
}
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px 5px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 500; white-space: nowrap; }
th.number, td.number { text-align: right; white-space: nowrap; } th.number, td.number { padding-right: 18px; }
dl { display: grid; gap: 2px 24px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); margin: 0; }
dl div { display: flex; justify-content: space-between; gap: 12px; border-bottom: 1px solid var(--grid); }
dt { color: var(--faint); min-width: 6em; overflow-wrap: anywhere; } dd { margin: 0; min-width: 5em; text-align: right; overflow-wrap: anywhere; }
summary { color: var(--faint); cursor: pointer; }
ol, ul { margin: 6px 0; padding-left: 22px; } li { margin-bottom: 6px; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 4px 10px; align-items: center; max-width: 560px; }
.bars span { font-variant-numeric: tabular-nums; text-align: right; }
.bars svg { width: 100%; height: 14px; border-radius: 3px; background: var(--grid); } .bars rect { fill: var(--series-0); }
.bars .chosen { font-weight: 700; }
footer { margin: 40px 0 24px; color: var(--faint); font-size: 13px; }
`

/** Markup in which all text is printable and escaped, because names and captions come from untrusted archives. */
export type Markup = { readonly markup: string }

type Part = Markup | string | number | false | undefined | readonly Part[]

/** A template of markup: `` html`<b>${name}</b>` ``. Lists are joined, `false` and `undefined` are left out. */
export const html = (strings: TemplateStringsArray, ...parts: Part[]): Markup => ({
  markup: strings.reduce((text, string, i) => text + markupOf(parts[i - 1]) + string),
})

/** Markup that is not escaped again. */
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

const escaped = (text: string) => printable(text).replace(/[&<>"']/g, (character) => entities[character] as string)
