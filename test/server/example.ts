/** The examples in `docs/serve.md`, with fewer steps, for a server on another port. */
import { readFileSync } from 'node:fs'
import { projectPath } from '../cli/bin.ts'

/** @param language of the code block. @throws Error where the document no longer has what is replaced. */
export function exampleIn(language: 'js' | 'python', url: string, key: string): string {
  const text = readFileSync(projectPath('docs/serve.md'), 'utf8')
  const [, code] = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(text) ?? []
  if (code === undefined) throw new Error(`docs/serve.md has no example in ${language}`)
  const steps =
    language === 'js'
      ? ['number_of_steps: 500', 'number_of_steps: 2']
      : ['"number_of_steps": 500', '"number_of_steps": 2']
  const quote = language === 'js' ? "'" : '"'
  const replaced = [['http://127.0.0.1:7880', url], [`${quote}any${quote}`, JSON.stringify(key)], steps] as [
    string,
    string,
  ][]
  return replaced.reduce((example, [from, to]) => {
    if (!example.includes(from)) throw new Error(`The example in ${language} has no ${from}`)
    return example.replace(from, () => to)
  }, code)
}
