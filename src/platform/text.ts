/** Names and captions come out of an archive: control characters in them must not reach the terminal. */
export const plain = (text: string) => text.replace(/[\s\p{Cc}]+/gu, ' ').trim()
