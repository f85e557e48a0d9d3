/** The style of the pages: that of the reports, with forms, navigation and lists. */
import { style as reportStyle } from '../../report/page/page.ts'

export const style = `${reportStyle}
:root { --accent: #2458b8; --on-accent: #fff; --field: #fff; --edge: #8d8982; }
@media (prefers-color-scheme: dark) { :root { --accent: #8ab4f8; --on-accent: #10131a; --field: #191816; --edge: #7a766f; } }
[hidden] { display: none !important; }
a { color: var(--accent); text-underline-offset: 2px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -9999px; } .skip:focus { left: 16px; top: 8px; background: var(--card); padding: 6px 10px; z-index: 1; }
nav { background: var(--card); border-bottom: 1px solid var(--line); }
nav > div { max-width: 1180px; margin: 0 auto; padding: 0 16px; display: flex; flex-wrap: wrap; align-items: center; gap: 0 18px; }
nav .brand { font-weight: 700; margin-right: 6px; }
nav a { padding: 11px 0 9px; color: var(--faint); text-decoration: none; border-bottom: 2px solid transparent; }
nav a:hover { color: var(--ink); } nav a[aria-current] { color: var(--ink); border-color: var(--accent); }
nav form { margin-left: auto; }
main { padding-bottom: 48px; }
main > section:first-child > h2, main > form:first-child { margin-top: 18px; }
.noscript { max-width: 1180px; margin: 0 auto; padding: 0 16px 24px; }
fieldset { min-width: 0; margin: 0 0 14px; padding: 4px 16px 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
legend { font-weight: 600; padding: 0 6px; margin-left: -6px; }
.fields { display: grid; gap: 14px 22px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 240px), 1fr)); align-items: start; margin-top: 6px; }
.field { min-width: 0; } .field.wide { grid-column: 1 / -1; }
.field > label { display: block; font-weight: 500; font-size: 14px; margin-bottom: 3px; }
.field.toggle > label { display: flex; gap: 8px; align-items: center; margin: 0; min-height: 24px; }
.field small { display: block; line-height: 1.4; margin-top: 3px; }
fieldset.field { border: 0; padding: 0; margin: 0; background: none; } fieldset.field > legend { font-weight: 500; font-size: 14px; padding: 0; margin: 0; }
input, select, textarea, button { font: inherit; color: inherit; }
input[type=text], input[type=number], input[type=password], select, textarea { width: 100%; min-height: 36px; padding: 5px 9px; background: var(--field); border: 1px solid var(--edge); border-radius: 6px; }
textarea { resize: vertical; } input[type=checkbox] { width: 17px; height: 17px; accent-color: var(--accent); }
[aria-invalid=true] { border-color: var(--bad) !important; }
.error { color: var(--bad); font-size: 13px; margin: 3px 0 0; } .error:empty { display: none; }
button, .button, .choose { display: inline-block; min-height: 36px; padding: 6px 14px; border: 1px solid var(--edge); border-radius: 6px; background: var(--field); color: var(--ink); font-size: 15px; line-height: 22px; text-decoration: none; cursor: pointer; }
button:hover, .button:hover, .choose:hover { border-color: var(--accent); }
button:disabled { opacity: .55; cursor: default; }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
button.plain { border-color: transparent; background: none; color: var(--accent); padding: 4px 6px; min-height: 30px; }
.drop { padding: 14px; border: 1px dashed var(--edge); border-radius: 8px; display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; }
.drop.over { border-color: var(--accent); border-style: solid; background: var(--paper); }
.drop input[type=text] { flex: 1 1 100%; } .drop .uploaded { margin: 0; font-size: 14px; overflow-wrap: anywhere; } .drop .uploaded:empty { display: none; }
.choose { position: relative; overflow: hidden; } .choose input { position: absolute; inset: 0; opacity: 0; cursor: pointer; font-size: 0; }
.choose:focus-within { outline: 2px solid var(--accent); outline-offset: 2px; }
progress { flex: 1 1 140px; width: 100%; height: 8px; accent-color: var(--accent); }
details { margin-top: 12px; } details > .fields { margin-top: 12px; } summary { font-size: 14px; }
.previews ol { list-style: none; padding: 0; margin: 8px 0; } .previews ol:empty { margin: 0 0 8px; }
.previews li { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; } .previews li label { flex: 1 1 240px; display: flex; gap: 8px; align-items: center; font-size: 14px; }
.previews .name { overflow-wrap: anywhere; }
.inspection:has(> p:empty):has(> [data-report]:empty), .progress[hidden] { display: none; }
.inspection { margin-top: 14px; border-top: 1px solid var(--grid); padding-top: 8px; } .inspection h2 { font-size: 15px; margin: 16px 0 6px; }
.inspection .headline { font-size: 16px; font-weight: 600; }
.submit { margin: 18px 0; }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 12px 0; } .actions form { display: contents; }
.status { display: inline-flex; align-items: center; gap: 6px; font-weight: 600; white-space: nowrap; } .status::before { content: ''; width: 9px; height: 9px; border-radius: 50%; background: currentColor; }
.status.faint { font-size: inherit; } .status.active { color: var(--accent); }
.progress { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center; margin: 8px 0; } .progress progress { flex: 1 1 240px; max-width: 620px; height: 10px; } .progress span { font-variant-numeric: tabular-nums; }
pre { margin: 0; padding: 12px; max-height: 340px; overflow: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre .WARN { color: var(--fair); } pre .ERROR { color: var(--bad); } pre:empty::before { content: 'No lines'; color: var(--faint); }
ul.files { list-style: none; padding: 0; columns: 300px; column-gap: 32px; } ul.files li { break-inside: avoid; display: flex; gap: 12px; justify-content: space-between; border-bottom: 1px solid var(--grid); margin: 0; padding: 3px 0; } ul.files a { overflow-wrap: anywhere; }
.picture canvas { display: block; width: 100%; height: 56px; background: var(--card); color: var(--series-0); }
.picture i { background: var(--ink); box-shadow: none; }
table.requests td { padding-top: 8px; padding-bottom: 8px; } table.requests td a { overflow-wrap: anywhere; }
.narrow { max-width: 380px; }
nav a[aria-current=true] { border-color: var(--edge); }
[aria-busy=true] > div { opacity: .5; }
time { white-space: nowrap; } [tabindex='-1']:focus { outline: none; }
@media (max-width: 640px) { fieldset { padding: 4px 12px 12px; } }
@media (prefers-reduced-motion: no-preference) { progress:indeterminate { animation: none; } }
`
