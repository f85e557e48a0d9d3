/** V8 counts what it holds itself, not what waits behind it in arrays: gigabytes of tensors' first values can outlive their use. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

/** Frees what JavaScript no longer reaches. Takes a moment: for the rare times when much has been handed over. */
export function collectGarbage() {
  if (!collect) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
}
