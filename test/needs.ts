/**
 * What a test needs of the machine: `it.skipIf(!hasStrace)('…', needs('strace'), () => …)`. Where it is missing the test is skipped, and `.ci/run` lists
 * it with what it needs.
 */
declare module 'vitest' {
  interface TaskMeta {
    needs?: string
  }
}

export const needs = (what: string) => ({ meta: { needs: what } })

/** Native TensorFlow, which the project `native` has. */
export const needsNative = needs('native TensorFlow')
