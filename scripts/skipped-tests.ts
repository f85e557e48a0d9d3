/**
 * Names the tests that did not run: `npx tsx scripts/skipped-tests.ts <folder>`, with the JSON reports of Vitest in the folder, and in `not-run.txt` what
 * did not run at all. A test that one of the runs has skipped and another has not did run.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

type Report = { testResults: { name: string; assertionResults: Test[] }[] }
type Test = { fullName: string; status: string; meta: { needs?: string } }

const [, , folder = '.'] = process.argv
const notRun = join(folder, 'not-run.txt')
const lines = [
  ...skippedTests(readdirSync(folder).filter((name) => name.endsWith('.json'))),
  ...(existsSync(notRun) ? readFileSync(notRun, 'utf8').trimEnd().split('\n') : []),
]
console.log(lines.length > 0 ? `\nThese tests did not run:\n${lines.join('\n')}` : '\nAll tests did run.')

/** One line for each file and each thing that its tests need. */
function skippedTests(reports: readonly string[]): string[] {
  const tests = new Map<string, { file: string; needs: string; ran: boolean }>()
  for (const report of reports)
    for (const { name, assertionResults } of (JSON.parse(readFileSync(join(folder, report), 'utf8')) as Report)
      .testResults)
      for (const { fullName, status, meta } of assertionResults) {
        const [file, ran] = [relative('.', name), status !== 'skipped' && status !== 'pending']
        const key = `${file} ${fullName}`
        tests.set(key, {
          file,
          needs: meta.needs ?? 'a reason that it does not give',
          ran: ran || tests.get(key)?.ran === true,
        })
      }
  const counts = new Map<string, number>()
  for (const { file, needs, ran } of tests.values())
    if (!ran) counts.set(`${file}\n${needs}`, (counts.get(`${file}\n${needs}`) ?? 0) + 1)
  return [...counts].map(([key, count]) => {
    const [file, needs] = key.split('\n')
    return `${file}: ${count} ${count === 1 ? 'test needs' : 'tests need'} ${needs}`
  })
}
