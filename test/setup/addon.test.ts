/** What is added to the sources of tfjs-node before its addon is built. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { addExtensions, extensionsFolder } from '../../src/setup/tfjs-node.ts'

const header = 'class TFJSBackend {\n public:\n  bool is_gpu_device;\n};\n'
const binding = `static napi_value InitTFNodeJSBinding(napi_env env, napi_value exports) {
  // Export TF property types to JS
}
`

/** A folder with the two sources that are changed. */
function sources(files: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-addon-'))
  mkdirSync(join(folder, 'binding'))
  for (const [name, text] of Object.entries({ 'tfjs_backend.h': header, 'tfjs_binding.cc': binding, ...files }))
    writeFileSync(join(folder, 'binding', name), text)
  const read = (name: string) => readFileSync(join(folder, 'binding', name), 'utf8')
  return { folder, read }
}

describe('the extensions of the addon', () => {
  it('are added to the sources of tfjs-node', () => {
    const { folder, read } = sources()
    addExtensions(folder)
    expect(read('tfjs_backend.h')).toContain(
      '  TFE_Context *context() const { return tfe_context_; }\n  bool is_gpu_device;\n',
    )
    expect(read('tfjs_binding.cc')).toBe(`void DefineExtensions(napi_env env, napi_value exports);

static napi_value InitTFNodeJSBinding(napi_env env, napi_value exports) {
  DefineExtensions(env, exports);

  // Export TF property types to JS
}
`)
    const files = readdirSync(extensionsFolder)
    expect(files).toEqual(expect.arrayContaining(['context_functions.cc', 'fused_ops.cc', 'matmul.h']))
    for (const file of files) expect(read(file)).toBe(readFileSync(join(extensionsFolder, file), 'utf8'))
  })

  it.each([
    ['lacks the place', { 'tfjs_backend.h': header.replace('bool is_gpu_device', 'bool uses_gpu') }, 'tfjs_backend.h'],
    ['has the place twice', { 'tfjs_binding.cc': `${binding}${binding}` }, 'tfjs_binding.cc'],
  ])('are not added to a source that %s', (_, files, name) => {
    const { folder, read } = sources(files)
    expect(() => addExtensions(folder)).toThrow(
      `the source of tfjs-node is not the expected one: binding/${name} does not contain once: `,
    )
    expect(existsSync(join(folder, 'binding', 'context_functions.cc'))).toBe(false)
    expect(read(name)).toBe((files as Record<string, string>)[name])
  })

  it('are in the npm package', () => {
    const root = fileURLToPath(new URL('../..', import.meta.url))
    const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(files).toContain(relative(root, extensionsFolder).split(sep)[0])
  })
})
