/**
 * The files of the server: what clients upload, and what runs write. They lie below the folder `files` of the server's data. A key is a path below it, with
 * `/`: `uploads/<id>/pairs.zip`, `runs/<request id>/lora.safetensors`. Ids are random UUIDs, so that the URL of a file is the permission to read it.
 */

export { fileScheme } from '../queue/request.ts'

/** A file object of the API. */
export type FileObject = { url: string; content_type: string; file_name: string; file_size: number }
