/** What `JSON.parse` does not report. */

/**
 * The first key that an object in the text has twice, at any depth: `JSON.parse` silently keeps the last value.
 * @param json valid JSON.
 */
export function firstRepeatedKey(json: string): string | undefined {
  const open: Set<string>[] = []
  for (const [token, string, colon] of json.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}]/gs)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (colon !== undefined) {
      const key = JSON.parse(string as string) as string
      const keys = open.at(-1)
      if (keys?.has(key)) return key
      keys?.add(key)
    }
  }
  return undefined
}
