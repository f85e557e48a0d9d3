import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { projectFiles, readMetadata } from '../../src/setup/package-index.ts'
import { parseHtmlPage, parseJsonPage } from '../../src/setup/package-page.ts'
import { type PackageServer, servePackages, sha256 } from './package-server.ts'

const wheel = 'tensorflow_cpu-9.0.0-cp312-cp312-manylinux_2_17_x86_64.whl'
const bytes = Buffer.from('not really a wheel')
const page = new URL('https://index.test/simple/tensorflow-cpu/')

let server: PackageServer
beforeAll(async () => {
  server = await servePackages()
  server.add(wheel, bytes)
  server.add('linked-1.0.tar.gz', bytes, { url: server.url('files/linked-1.0.tar.gz') })
  server.add('linked-2.0.tar.gz', bytes, { url: 'https://elsewhere.test/linked-2.0.tar.gz' })
})
afterAll(() => server.close())
beforeEach(() => {
  server.format = 'json'
  delete server.login
})

const access = { client: { fetch, sleep: async () => {} }, signal: new AbortController().signal }

describe('the files of a project', () => {
  it.each(['json', 'html'] as const)('are read from a page as %s, with links relative to it', async (format) => {
    server.format = format
    expect(await projectFiles('Tensorflow_CPU', server.index, access)).toEqual([
      {
        name: wheel,
        url: new URL(server.url(`files/${wheel}`)),
        sha256: sha256(bytes),
        ...(format === 'json' && { bytes: bytes.length }),
        isYanked: false,
      },
    ])
    expect(server.paths.at(-1)).toBe('simple/tensorflow-cpu/')
  })

  it('are none where the index does not know the project', async () =>
    expect(await projectFiles('unknown', server.index, access)).toEqual([]))

  it('of an index with a login are requested with it, and so are the files on the same server', async () => {
    server.login = 'me:p@ss'
    const index = new URL(server.index)
    Object.assign(index, { username: 'me', password: 'p%40ss' })
    const [file] = await projectFiles('tensorflow-cpu', index, access)
    expect(file?.url.href).toContain('//me:p%40ss@127.0.0.1')
    const [there, elsewhere] = await projectFiles('linked', index, access)
    expect(there?.url.href).toContain('//me:p%40ss@127.0.0.1')
    expect(elsewhere?.url.href).toBe('https://elsewhere.test/linked-2.0.tar.gz')
    await expect(projectFiles('tensorflow-cpu', server.index, access)).rejects.toMatchObject({
      name: 'UserError',
      message: `the package index answered 401 Unauthorized for ${server.index.href}tensorflow-cpu/`,
      hint: expect.stringContaining('put the login into the URL of the index'),
    })
  })

  it('are requested with the query of the index', async () => {
    const { intercept } = server
    let requested: string | undefined
    server.intercept = (request, response, number) => {
      requested = request.url
      return intercept?.(request, response, number) ?? false
    }
    expect(await projectFiles('linked', new URL('?token=secret', server.index), access)).toHaveLength(2)
    expect(requested).toBe('/simple/linked/?token=secret')
    server.intercept = intercept as NonNullable<typeof intercept>
  })

  it('are read after a redirect, and after a server that was busy', async () => {
    const { intercept } = server
    let count = 0
    server.intercept = (request, response, number) => {
      if (request.url === '/moved/tensorflow-cpu/')
        response.writeHead(302, { location: '/simple/tensorflow-cpu/' }).end()
      else if (count++ === 0) response.writeHead(503).end()
      else return intercept?.(request, response, number) ?? false
      return true
    }
    const [file] = await projectFiles('tensorflow-cpu', new URL(server.url('moved/')), access)
    expect(file?.url.href).toBe(server.url(`files/${wheel}`))
    expect(count).toBe(2)
    server.intercept = intercept as NonNullable<typeof intercept>
  })
})

/** They would lead elsewhere, or no file can have them. */
const unusableNames = [
  '../x.whl',
  'a/../../x.whl',
  'a\\x.whl',
  'x\0.whl',
  'x\n.whl',
  '..',
  '.',
  '',
  `${'x'.repeat(300)}.whl`,
]

describe('a page as JSON', () => {
  const hash = 'ab'.repeat(32)
  const parse = (file: object) =>
    parseJsonPage(JSON.stringify({ files: [{ filename: 'x.whl', url: 'x.whl', ...file }] }), page)

  it('says which files are yanked, and where their METADATA is', () => {
    expect(parse({ yanked: 'broken' })[0]?.isYanked).toBe(true)
    expect(parse({ yanked: false })[0]?.isYanked).toBe(false)
    const url = new URL('https://index.test/simple/tensorflow-cpu/x.whl.metadata')
    expect(parse({ 'core-metadata': { sha256: 'AB'.repeat(32) } })[0]?.metadata).toEqual({ url, sha256: hash })
    expect(parse({ 'dist-info-metadata': true })[0]?.metadata).toEqual({ url })
    expect(parse({ 'core-metadata': false })[0]?.metadata).toBeUndefined()
    expect(parse({ 'core-metadata': { sha256: '../x' } })[0]?.metadata).toBeUndefined()
  })

  it('has only SHA-256 of 64 hexadecimal digits', () => {
    expect(parse({ hashes: { sha256: 'AB'.repeat(32) } })[0]?.sha256).toBe(hash)
    for (const sha256 of ['../../../x', 'ab', `${hash}0`, `${hash}\n`, ''])
      expect(parse({ hashes: { sha256 } })[0]).not.toHaveProperty('sha256')
  })

  it.each([
    { size: null, yanked: null, hashes: null, 'core-metadata': null },
    { size: -1, 'core-metadata': 'yes', hashes: { md5: 3 } },
    { size: 1.5, 'dist-info-metadata': 3 },
  ])('may have the properties %o', (properties) =>
    expect(parse(properties)).toMatchObject([{ name: 'x.whl', isYanked: false }]),
  )

  it.each([
    ...unusableNames.map((filename) => ({ filename })),
    ...['http://', 'http://[::bad', 'file:///etc/passwd', 'ftp://files.test/x.whl', 'mailto:me@files.test'].map(
      (url) => ({ url }),
    ),
    { filename: 3 },
    { hashes: 'ab' },
  ])('is read without the file with %o', (properties) => {
    const files = [{ filename: 'y.whl', url: 'y.whl', ...properties }, null, { filename: 'x.whl', url: 'x.whl' }]
    expect(parseJsonPage(JSON.stringify({ files }), page)).toMatchObject([{ name: 'x.whl' }])
  })

  it.each(['{"files": 3}', 'oops'])('is refused when it is %s', (text) =>
    expect(() => parseJsonPage(text, page)).toThrow('https://index.test/simple/tensorflow-cpu/ is not the page of'),
  )
})

describe('a page as HTML', () => {
  const hash = 'a'.repeat(64)

  it('has a link for each file', () => {
    const text = `<!DOCTYPE html><html><head><title>Links</title></head><body>
      <a href="https://files.test/a%2B1-py3-none-any.whl#sha256=${hash}" data-requires-python=">=3.9">a</a><br />
      <A HREF='b.whl' data-yanked="reason &gt; &#39;why&#x27;" data-core-metadata="sha256=${hash}">b</A>
      <a name=top>no link</a></body></html>`
    expect(parseHtmlPage(text, page)).toEqual([
      {
        name: 'a+1-py3-none-any.whl',
        url: new URL('https://files.test/a%2B1-py3-none-any.whl'),
        sha256: hash,
        isYanked: false,
      },
      {
        name: 'b.whl',
        url: new URL('https://index.test/simple/tensorflow-cpu/b.whl'),
        isYanked: true,
        metadata: { url: new URL('https://index.test/simple/tensorflow-cpu/b.whl.metadata'), sha256: hash },
      },
    ])
  })

  it('may have a base for its links, with encoded characters', () => {
    const [file] = parseHtmlPage('<base href="https://cdn.test/a/"><a href="x.whl?a=1&amp;b=2">x</a>', page)
    expect(file?.url.href).toBe('https://cdn.test/a/x.whl?a=1&b=2')
  })

  it('has links in any notation of HTML', () => {
    const text = `<!-- <a href="no.whl"> --><script>"<a href='no.whl'>"</script><title><a href=no.whl></title>
      <a\n href=a.whl#sha256=${hash}&egg=a data-x="a > b"><a href = 'b&period;whl'/><A title=">" HREF="c.whl">`
    expect(parseHtmlPage(text, page).map(({ name }) => name)).toEqual(['a.whl', 'b.whl', 'c.whl'])
    expect(parseHtmlPage(text, page)[0]?.sha256).toBe(hash)
  })

  it.each([
    ...unusableNames.filter((name) => !/^[^\w]*$/.test(name)).map(encodeURIComponent),
    'http://',
    'http://[::bad',
    'mailto:me@files.test',
    'javascript:x.whl',
    'up/',
  ])('is read without the link %s', (href) => {
    const links = ['y.whl', href, 'foo%zz.whl', 'x.whl'].map((href) => `<a href="${href}">`)
    expect(parseHtmlPage(links.join(), page).map(({ name }) => name)).toEqual(['y.whl', 'foo%zz.whl', 'x.whl'])
  })

  it('may have references to characters that do not exist', () =>
    expect(parseHtmlPage('<a href="&#x110000;&#xd800;&nonsense;.whl"><a href="x.whl">', page)).toHaveLength(2))

  it('without links has no files', () => {
    expect(parseHtmlPage('<p>Sign in</p>', page)).toEqual([])
    expect(parseHtmlPage('', page)).toEqual([])
  })

  it.each([
    ['tags that do not end', '<a '],
    ['elements that do not end', '<a>'],
    ['one long tag', 'x'],
    ['attributes that do not end', '<a href="'],
  ])('is read in a moment with %s', (_, text) => {
    const page = `<a ${text.repeat(2e6 / text.length)}`
    expect(parseHtmlPage(page, new URL('https://index.test/'))).toEqual([])
  })
})

it('METADATA with another SHA-256 than listed is refused', async () => {
  server.files.set('files/x.whl.metadata', { size: 7, bytes: () => Buffer.from('Name: x') })
  const url = new URL(server.url('files/x.whl.metadata'))
  expect(await readMetadata({ url, sha256: sha256(Buffer.from('Name: x')) }, access)).toBe('Name: x')
  expect(await readMetadata({ url }, access)).toBe('Name: x')
  await expect(readMetadata({ url, sha256: 'ab'.repeat(32) }, access)).rejects.toThrow('does not have the SHA-256')
})
