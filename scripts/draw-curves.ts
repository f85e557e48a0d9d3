/** Draws the learning curves of the bundled base: `npx tsx scripts/draw-curves.ts --work runs/base`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { lineChart } from '../src/report/page/charts.ts'

const { values } = parseArgs({ options: { work: { type: 'string', default: 'runs/base' } } })
const picture = fileURLToPath(new URL('../docs/base/curves.svg', import.meta.url))

const charts: [stage: string, measure: string, title: string][] = [
  ['audio-vae', 'absolute', 'Audio VAE: error of log-mels, nats'],
  ['transformer', 'loss', 'Audio stream: velocity loss'],
  ['transformer-full-context', 'loss', 'Audio stream, whole contexts'],
]
const [width, height, title] = [440, 220, 22]
/** The number of lines, of 20 steps each, that a point is the mean of. */
const smoothing = 5

const drawn = charts.filter(([stage]) => existsSync(records(stage)))
const svgs = drawn.map(([stage, measure, name], i) => {
  const svg = /<svg[^>]*>(.*)<\/svg>/s.exec(lineChart({ title: name, series: [series(stage, measure)] }).markup)?.[1]
  const [x, y] = [(i % 2) * (width + 20), Math.floor(i / 2) * (height + title + 14)]
  return `<g transform="translate(${x} ${y})"><text class="title" x="10" y="16">${name}</text><g transform="translate(0 ${title})">${svg}</g></g>`
})
const style =
  'text{font:11px sans-serif;fill:#6b6862}.title{font:bold 13px sans-serif;fill:#1d1c1a}.grid{stroke:#ebe8e2}.axis{stroke:#6b6862}.line{fill:none;stroke-width:1.5}'
const [all, high] = [2 * width + 20, Math.ceil(drawn.length / 2) * (height + title + 14)]
const body = svgs.join('').replaceAll('var(--series-0)', '#2f6fdb')
writeFileSync(
  picture,
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${all} ${high}"><title>Learning curves of the bundled base</title><style>${style}</style><rect width="${all}" height="${high}" fill="#fbfaf8"/>${body}</svg>\n`,
)

function series(stage: string, measure: string) {
  const lines = readFileSync(records(stage), 'utf8').trim().split('\n')
  const points = lines.map((line) => JSON.parse(line) as Record<string, number>)
  const groups = Array.from({ length: Math.floor(points.length / smoothing) }, (_, i) =>
    points.slice(i * smoothing, (i + 1) * smoothing),
  )
  const mean = (group: Record<string, number>[]) =>
    group.reduce((sum, point) => sum + (point[measure] as number), 0) / group.length
  return { name: measure, points: groups.map((group) => [group.at(-1)?.step as number, mean(group)] as const) }
}

function records(stage: string) {
  return join(values.work, `${stage}.jsonl`)
}
