/** A whole page in one file: it needs no network, and may be mailed. */

import { behaviour } from './behaviour.ts'
import { html, type Markup, raw } from './html.ts'
import { style } from './style.ts'

export type PageParts = { title: string; lead: string | Markup; sections: readonly (Markup | undefined)[] }

export function page({ title, lead, sections }: PageParts): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
<header><h1>${title}</h1><p>${lead}</p></header>
<main>
${sections.flatMap((part) => (part ? [part] : []))}
</main>
<script>${raw(behaviour)}</script>
</body>
</html>
`
  return document.markup
}

export const section = (title: string, ...content: (Markup | undefined)[]): Markup =>
  html`<section><h2>${title}</h2>${content}</section>\n`

/** Facts as a list of names and values. */
export const facts = (entries: readonly (readonly [name: string, value: string | number | Markup])[]): Markup =>
  html`<dl>${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
