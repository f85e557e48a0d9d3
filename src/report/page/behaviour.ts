/** What pages do: one sound at a time, a line that moves over its picture, and a click on the picture plays from there. */
export const behaviour = `
const sounds = [...document.querySelectorAll('figure')].filter((figure) => figure.querySelector('audio'))
for (const figure of sounds) {
  const audio = figure.querySelector('audio')
  const picture = figure.querySelector('.picture')
  const head = picture.querySelector('i')
  const follow = () => {
    head.style.opacity = 1
    head.style.left = (100 * audio.currentTime) / audio.duration + '%'
    if (!audio.paused) requestAnimationFrame(follow)
  }
  audio.addEventListener('play', () => {
    for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause()
    follow()
  })
  audio.addEventListener('seeked', follow)
  picture.addEventListener('click', ({ clientX }) => {
    const { left, width } = picture.getBoundingClientRect()
    audio.currentTime = (audio.duration * (clientX - left)) / width
    audio.play()
  })
}
`
