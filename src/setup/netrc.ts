/** The logins in a `.netrc` file, which pip and curl use for servers whose URL has none. */

export type Login = { username: string; password: string }

/** @param text the content of the file. Macros in it are ignored. */
export function loginFor(host: string, text: string): Login | undefined {
  const words = text.split('\n').flatMap((line) => line.replace(/^\s*#.*/, '').match(/\S+/g) ?? [])
  const entries: { host?: string; login?: string; password?: string }[] = []
  for (let i = 0; i < words.length; i++) {
    const entry = entries.at(-1)
    if (words[i] === 'machine') entries.push({ host: words[++i] ?? '' })
    else if (words[i] === 'default') entries.push({})
    else if (words[i] === 'login' && entry) entry.login = words[++i] ?? ''
    else if (words[i] === 'password' && entry) entry.password = words[++i] ?? ''
  }
  const found = entries.find((entry) => entry.host === undefined || entry.host === host)
  return found?.login === undefined ? undefined : { username: found.login, password: found.password ?? '' }
}
