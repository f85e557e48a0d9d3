/** Playlists and scripts with which ffmpeg would open other files or URLs, if it guessed the format of an audio file from its content. */

/** @param forbidden the path or URL that must not be opened. */
export const scriptInputs = (forbidden: string): string[] => [
  `ffconcat version 1.0\nfile '${forbidden}'\n`,
  `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${forbidden}\n#EXT-X-ENDLIST\n`,
  `#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nconcat:${forbidden}|${forbidden}\n#EXT-X-ENDLIST\n`,
  `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1"><BaseURL>${forbidden}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na=control:${forbidden}\n`,
  `;FFMETADATA1\ntitle=${forbidden}\n`,
  `[playlist]\nFile1=${forbidden}\nNumberOfEntries=1\n`,
]
