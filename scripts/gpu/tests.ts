/** The tests of the project `native` that say whether a device computes correctly. */
import { readFileSync } from 'node:fs'
import { ProgramError, runProgram } from '../../src/machine/programs.ts'

export type TestGroup = { name: string; passed: number; skipped: number; failures: string[] }

const groups = {
  'reference values in float32': ['test/golden'],
  gradients: ['test/model/gradients', 'test/train/step.test.ts', 'test/train/trainer.test.ts'],
  'products in bfloat16': ['test/native/bfloat16.test.ts'],
  'captured graphs': ['test/engine'],
} as const

type Report = { testResults: { message: string; assertionResults: { fullName: string; status: string }[] }[] }

/** @param file where Vitest writes its report. */
export async function runTests(file: string, onStage: (stage: string) => void): Promise<TestGroup[]> {
  const results: TestGroup[] = []
  for (const [name, paths] of Object.entries(groups)) {
    onStage(`Tests: ${name}`)
    results.push({ name, ...(await runVitest(file, paths)) })
  }
  return results
}

async function runVitest(file: string, paths: readonly string[]): Promise<Omit<TestGroup, 'name'>> {
  const options = ['--project', 'native', '--maxWorkers=1', '--reporter=json', `--outputFile=${file}`]
  try {
    await runProgram('npx', ['vitest', 'run', ...options, ...paths])
  } catch (error) {
    if (!(error instanceof ProgramError) || error.isMissing) throw error // otherwise some of them failed
  }
  const { testResults } = JSON.parse(readFileSync(file, 'utf8')) as Report
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
  const withStatus = (...statuses: string[]) => tests.filter(({ status }) => statuses.includes(status))
  const broken = testResults.filter(({ assertionResults, message }) => assertionResults.length === 0 && message !== '')
  return {
    passed: withStatus('passed').length,
    skipped: withStatus('skipped', 'pending', 'todo').length,
    failures: [...withStatus('failed').map(({ fullName }) => fullName), ...broken.map(({ message }) => message)],
  }
}
