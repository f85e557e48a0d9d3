/** Groups of numbered things that belong together, directly or through others. */
export type Groups = {
  /** The smallest number of the group that a thing is in. */
  firstOf(item: number): number
  /** Makes one group of two. @returns whether they were two. */
  join(one: number, other: number): boolean
}

/** @param count how many things there are, each in a group of its own at first. */
export function createGroups(count: number): Groups {
  const parents = Uint32Array.from({ length: count }, (_, i) => i)
  const firstOf = (item: number): number => {
    let first = item
    while (parents[first] !== first) first = parents[first] as number
    for (let at = item; at !== first; ) {
      const next = parents[at] as number
      parents[at] = first
      at = next
    }
    return first
  }
  return {
    firstOf,
    join: (one, other) => {
      const [a, b] = [firstOf(one), firstOf(other)]
      parents[Math.max(a, b)] = Math.min(a, b)
      return a !== b
    },
  }
}
