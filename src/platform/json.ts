/** JSON whose objects have no key twice. */

export type JsonErrors = {
  /** Makes the error for text that is not JSON. */
  invalid(cause: unknown): Error
  /** Makes the error for a key that an object has twice. */
  repeated(key: string): Error
}

/** @throws the error that `errors` makes. */
export function parseJson(text: string, errors: JsonErrors): unknown {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw errors.invalid(cause)
  }
  const key = firstRepeatedKey(text)
  if (key !== undefined) throw errors.repeated(key)
  return json
}

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
