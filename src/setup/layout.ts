/** Where a folder keeps TensorFlow's C headers and its libraries. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export type Layout = { include: string; libraries: string[] }

/**
 * Looks for TensorFlow in any folder that people may point at: the Python package or what it lies in, an environment of Python or conda, an unpacked
 * C archive. The Python package has `libtensorflow_cc` beside `include`, the others have `libtensorflow` in `lib`; `_framework` accompanies both.
 */
export function findLayout(folder: string, platform: NodeJS.Platform = process.platform): Layout | undefined {
  for (const home of homes(folder)) {
    const include = join(home, 'include')
    if (!existsSync(join(include, 'tensorflow', 'c', 'eager', 'c_api.h'))) continue
    for (const place of [home, join(home, 'lib')]) {
      const [main, framework] = [['_cc', ''], ['_framework']].map((endings) =>
        endings
          .flatMap((ending) => libraryNames(`libtensorflow${ending}`, platform))
          .map((name) => join(place, name))
          .find((path) => existsSync(path)),
      )
      if (main) return { include, libraries: framework ? [main, framework] : [main] }
    }
  }
  return undefined
}

function homes(folder: string): string[] {
  const lib = join(folder, 'lib')
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => /^python3/.test(name)) : []
  return [
    folder,
    join(folder, 'tensorflow'),
    ...pythons.map((python) => join(lib, python, 'site-packages', 'tensorflow')),
  ]
}

const libraryNames = (name: string, platform: NodeJS.Platform) =>
  platform === 'darwin' ? [`${name}.2.dylib`, `${name}.dylib`] : [`${name}.so.2`, `${name}.so`]
