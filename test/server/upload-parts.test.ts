/** Parts of an upload that arrive at once. */
import { expect, it } from 'vitest'
import { serve } from './test-server.ts'

it('parts that are sent at once are all stored', async () => {
  const { fetch, url, errors } = await serve()
  const body = JSON.stringify({ file_name: 'large.bin' })
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
  const { upload_url } = (await (await fetch('/storage/upload/initiate-multipart', init)).json()) as {
    upload_url: string
  }
  const path = upload_url.replace(url, '')
  const parts = Array.from({ length: 200 }, (_, i) => fetch(`${path}/${i + 1}`, { method: 'PUT', body: 'part' }))
  expect(new Set((await Promise.all(parts)).map(({ status }) => status))).toEqual(new Set([200]))
  expect(errors).toEqual([])
})
