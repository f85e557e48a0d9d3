/**
 * A requirement of a test on the machine: `it.skipIf(!hasStrace)('…', needs('strace'), () => …)`. `.ci/run` lists each skipped test with its
 * requirement.
 */
declare module 'vitest' {
  interface TaskMeta {
    needs?: string
  }
}

export const needs = (what: string) => ({ meta: { needs: what } })

/** Native TensorFlow, which is used by the project `native`. */
export const needsNative = needs('native TensorFlow')
