/** The same file under other names: how one layout of a checkpoint is read as another. */
import type { TensorInfo } from './header.ts'
import type { Safetensors } from './safetensors.ts'

/** Reads go through to `file`, which is closed with the view. Two tensors that would get one name are our bug. */
export function renamed(file: Safetensors, newName: (name: string) => string): Safetensors {
  const stored = new Map([...file.tensors.keys()].map((name) => [newName(name), name]))
  if (stored.size !== file.tensors.size) throw new Error(`${file.path}: two tensors would get one name`)
  const nameOf = (name: string) => {
    const found = stored.get(name)
    if (found === undefined) throw new Error(`${file.path} has no tensor ${name}`)
    return found
  }
  return {
    path: file.path,
    metadata: file.metadata,
    tensors: new Map([...stored].map(([name, old]) => [name, file.tensors.get(old) as TensorInfo])),
    read: (name) => file.read(nameOf(name)),
    lend: (name) => file.lend(nameOf(name)),
    readAhead: (names) => file.readAhead(names.map(nameOf)),
    readRows: (name, rows) => file.readRows(nameOf(name), rows),
    float32: (name) => file.float32(nameOf(name)),
    readStart: (name, count) => file.readStart(nameOf(name), count),
    close: file.close,
  }
}
