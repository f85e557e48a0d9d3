/** The key that signs what the server sends to webhooks: Ed25519, created once, in the server's data. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { createFile } from '../platform/files.ts'

export type SigningKey = {
  /** The signature of a text, in hexadecimal digits. */
  sign(text: string): string
  /** The document at `/.well-known/jwks.json`, with which receivers check signatures. */
  jwks: Jwks
}

/** RFC 8037: `x` is the public key in base64url. */
export type Jwks = { keys: { kty: 'OKP'; crv: 'Ed25519'; x: string; kid: string; use: 'sig'; alg: 'EdDSA' }[] }

/** @param data the folder of the server's data. */
export const signingKeyPath = (data: string) => join(data, 'key.json')

/**
 * Reads the key, or creates it where there is none. Only the owner may read the file.
 * @throws UserError when the file does not contain a key.
 */
export function openSigningKey(path: string): SigningKey {
  const key = readKey(path) ?? createKey(path)
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' })
  // RFC 7638: the hash of the members that define the key, in the order of their names
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
    .digest('base64url')
  return {
    sign: (text) => sign(null, Buffer.from(text), key).toString('hex'),
    jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' }] },
  }
}

/** Where several servers start at once, all use the key of the first. */
function createKey(path: string): KeyObject {
  const { privateKey } = generateKeyPairSync('ed25519')
  mkdirSync(dirname(path), { recursive: true })
  const isOurs = createFile(path, `${JSON.stringify(privateKey.export({ format: 'jwk' }))}\n`, 0o600)
  return isOurs ? privateKey : (readKey(path) ?? createKey(path))
}

function readKey(path: string): KeyObject | undefined {
  try {
    const key = createPrivateKey({ key: JSON.parse(readFileSync(path, 'utf8')), format: 'jwk' })
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw notAKey(path, cause)
  }
  throw notAKey(path)
}

const notAKey = (path: string, cause?: unknown) =>
  new UserError(`${path} is not a readable Ed25519 key`, {
    hint: 'check its permissions, or move it away: then a new key is created, which the receivers of webhooks must fetch',
    cause,
  })
