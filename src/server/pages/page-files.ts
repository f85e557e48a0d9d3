/** The files of the server as the pages show them. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileScheme } from '../../queue/request.ts'
import { isCheckpoint, isContent } from '../../train/run-folder.ts'

export type PageFiles = {
  /** `<data>/files` */
  folder: string
  /** The path of a file, or undefined where there is none. @param key `uploads/<id>/pairs.zip` */
  resolve(key: string): Promise<string | undefined>
  /** `/files/uploads/<id>/pairs.zip`, also below the path of a proxy. */
  urlOf(key: string): string
  /** The key in a URL of this server; undefined for others. */
  keyOf(url: string): string | undefined
}

export type RunFile = { key: string; name: string; bytes: number }

export const runFolderOf = ({ folder }: PageFiles, id: string) => join(folder, 'runs', id)

/** What a request has written so far, by name. Folders of event files and the state are left out. */
export function runFiles(files: PageFiles, id: string): RunFile[] {
  const root = runFolderOf(files, id)
  const list = (...folders: string[]): RunFile[] => {
    const path = join(root, ...folders)
    if (!existsSync(path)) return []
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isFile() && isShown(entry.name))
      .map(({ name }) => ({
        key: ['runs', id, ...folders, name].join('/'),
        name: [...folders, name].join('/'),
        bytes: statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  return [...list(), ...list('checkpoints'), ...list('previews')]
}

/** The LoRA with the lowest held-out loss where there is one, the last one, or that of the last checkpoint. */
export function newestLora(written: readonly RunFile[]): RunFile | undefined {
  const named = (name: string) => written.find((file) => file.name === name)
  const checkpoint = written.findLast(({ name }) => name.startsWith('checkpoints/') && isCheckpoint(basename(name)))
  return named('best.safetensors') ?? named('lora.safetensors') ?? checkpoint
}

/** Whether a training has saved where it is. */
export const hasState = (files: PageFiles, id: string) => existsSync(join(runFolderOf(files, id), 'state.safetensors'))

const isShown = (name: string) => isContent(name) && !name.startsWith('.') && name !== 'state.safetensors'

export const isSound = ({ name }: RunFile) => /\.(wav|flac|mp3|ogg|m4a|opus|aiff)$/i.test(name)

/** The URL of a file in the parameters of a request: of this server, or undefined for others, which the pages may not load. */
export function urlOfPlace(files: PageFiles, place: unknown): string | undefined {
  return typeof place === 'string' && place.startsWith(fileScheme)
    ? files.urlOf(place.slice(fileScheme.length))
    : undefined
}

/** The last part of a URL, path or key. */
export function placeName(place: unknown): string {
  const name = (String(place ?? '').split(/[?#]/)[0] ?? '').replace(/\/+$/, '').split('/').at(-1) ?? ''
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
