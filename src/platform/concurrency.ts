import pLimit from 'p-limit'

/**
 * Maps items with at most `concurrency` calls of `work` at a time. After the first failure it starts no other call, and it throws only when no call is
 * running any more, so that the caller may close what the calls use.
 * @returns the results, in the order of the items.
 * @throws the first error of `work`.
 */
export async function mapConcurrently<Item, Result>(
  items: readonly Item[],
  concurrency: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const limit = pLimit(concurrency)
  let failure: { error: unknown } | undefined
  const results: Result[] = []
  const mapItem = async (item: Item, i: number) => {
    if (failure) return
    try {
      results[i] = await work(item, i)
    } catch (error) {
      failure ??= { error }
    }
  }
  await Promise.all(items.map((item, i) => limit(mapItem, item, i)))
  if (failure) throw failure.error
  return results
}
