/** Texts that make a careless ffmpeg open other files, or the network, when they come under the name of a sound. */

/** @param elsewhere the path or URL that must not be opened. */
export const disguises = (elsewhere: string): string[] => [
  `ffconcat version 1.0\nfile '${elsewhere}'\n`,
  `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${elsewhere}\n#EXT-X-ENDLIST\n`,
  `#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nconcat:${elsewhere}|${elsewhere}\n#EXT-X-ENDLIST\n`,
  `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1"><BaseURL>${elsewhere}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na=control:${elsewhere}\n`,
  `;FFMETADATA1\ntitle=${elsewhere}\n`,
  `[playlist]\nFile1=${elsewhere}\nNumberOfEntries=1\n`,
]
