/** What all pages of the server have in common: the document, its navigation, and the headers that keep foreign code out. */
import { createHash } from 'node:crypto'
import { html, type Markup } from '../../report/page/page.ts'
import { icon } from './icon.ts'
import { script } from './script.ts'
import { style } from './style.ts'

/** Everything comes from this server, nothing is written in attributes, and no other site shows a page in a frame. */
export const contentSecurityPolicy =
  "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

export type Asset = { name: string; type: string; text: string; version: string }

const asset = (name: string, type: string, text: string): Asset => ({
  ...{ name, type, text },
  version: createHash('sha256').update(text).digest('base64url').slice(0, 12),
})

export const assets = {
  style: asset('page.css', 'text/css; charset=utf-8', style),
  script: asset('page.js', 'text/javascript; charset=utf-8', script),
  icon: asset('icon.svg', 'image/svg+xml', icon),
}

const sites = [
  ['/', 'Train'],
  ['/requests', 'Requests'],
  ['/play', 'Playground'],
] as const

export type PageParts = {
  title: string
  lead?: Markup | string | undefined
  /** The path that is marked in the navigation. */
  current?: string | undefined
  /** Whether the page is below that one. */
  isBelow?: boolean
  canSignOut?: boolean
  content: Markup | readonly Markup[]
}

/**
 * The referrer policy is in the document because under `no-referrer` browsers send forms without their origin, which the server checks.
 * @param root the path below which the server is seen, without a slash at its end: '' without a proxy.
 */
export function documentOf(
  root: string,
  { title, lead, current, isBelow = false, canSignOut = false, content }: PageParts,
): string {
  const url = ({ name, version }: Asset) => `${root}/assets/${name}?v=${version}`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="same-origin">
<title>${title} · ltx-a2a</title>
<link rel="icon" href="${url(assets.icon)}">
<link rel="stylesheet" href="${url(assets.style)}">
<script type="module" src="${url(assets.script)}"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<nav aria-label="Pages"><div><span class="brand">ltx-a2a</span>${sites.map(([path, name]) => html`<a href="${root}${path}"${path === current && html` aria-current="${isBelow ? 'true' : 'page'}"`}>${name}</a>`)}${canSignOut && html`<form method="post" action="${root}/logout"><button class="plain">Sign out</button></form>`}</div></nav>
<header><h1>${title}</h1>${lead !== undefined && html`<p>${lead}</p>`}</header>
<main id="content">${content}</main>
<noscript><p class="noscript">This page needs JavaScript to upload files and to follow running requests.</p></noscript>
</body>
</html>
`.markup
}
