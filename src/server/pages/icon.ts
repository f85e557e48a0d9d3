/** The icon of the pages: a waveform. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2f6fdb"/><path d="M7 13v6M13 8v16M19 11v10M25 14v4" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>`
