/** What can be asked of the server: the paths of the hosted models that it stands in for. */
import type { RequestKind } from '../queue/request.ts'

export type Endpoint = { kind: RequestKind; path: string; owner: string; app: string }

export const trainEndpoint = 'fal-ai/ltx23-trainer-v2/a2a'

const kinds: Readonly<Record<string, RequestKind>> = { [trainEndpoint]: 'train' }

export const endpoints: readonly Endpoint[] = Object.entries(kinds).map(([path, kind]) => {
  const [owner = '', app = ''] = path.split('/')
  return { kind, path, owner, app }
})
