/** The script of the pages. It enhances what the server has rendered, finds its parts by data attributes, and talks to this server only. */
export const script = `
const one = (selector, root = document) => root.querySelector(selector)
const all = (selector, root = document) => [...root.querySelectorAll(selector)]
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds))

/** The same place on this server, by whatever name the server called itself. */
const local = (url) => { const { pathname, search } = new URL(url, location.href); return pathname + search }

const send = (url, body, signal) => fetch(url, { method: 'POST', signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const detailOf = async (answer) => { try { return (await answer.json()).detail } catch { return undefined } }
async function* jsonLines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  for (let rest = '';;) {
    const { done, value = '' } = await reader.read()
    const lines = (rest + value).split('\\n')
    rest = lines.pop()
    for (const line of lines) yield JSON.parse(line)
    if (done) return
  }
}
const sentence = (detail, answer) => typeof detail === 'string' ? detail : Array.isArray(detail) ? detail.map(({ msg }) => msg).join('; ') : 'The server answered with status ' + answer.status

// uploads
async function upload(file, form, onProgress) {
  const answer = await send(form.dataset.uploadUrl, { file_name: file.name, content_type: file.type || 'application/octet-stream' })
  if (!answer.ok) throw new Error(sentence(await detailOf(answer), answer))
  const { upload_url, file_url } = await answer.json()
  await new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('PUT', local(upload_url))
    request.setRequestHeader('content-type', file.type || 'application/octet-stream')
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / (total || 1))
    request.onload = () => {
      if (request.status < 300) return resolve()
      let detail
      try { detail = JSON.parse(request.responseText).detail } catch {}
      reject(new Error(sentence(detail, request)))
    }
    request.onerror = () => reject(new Error('the connection was lost'))
    request.send(file)
  })
  return file_url
}
function setValue(input, value) {
  input.value = value
  input.dispatchEvent(new Event('input', { bubbles: true }))
}
const sizeOf = (bytes) => bytes < 1e6 ? Math.ceil(bytes / 1e3) + ' kB' : (bytes / 1e6).toFixed(1) + ' MB'
let uploads = 0
for (const drop of all('[data-upload]')) {
  const form = drop.closest('form')
  const previews = drop.closest('[data-kind=previews]')
  const [picker, bar, status] = [one('input[type=file]', drop), one('progress', drop), one('.uploaded', drop)]
  const take = async (files) => {
    for (const file of previews ? files : files.slice(0, 1)) {
      uploads += 1
      bar.hidden = false
      bar.value = 0
      status.textContent = 'Uploading ' + file.name + ' …'
      if (!previews) setValue(one('[data-kind]', drop), '')
      try {
        const url = await upload(file, form, (share) => { bar.value = share })
        if (previews) addPreview(previews, url, file.name)
        else setValue(one('[data-kind]', drop), url)
        status.textContent = file.name + ', ' + sizeOf(file.size) + ', uploaded'
      } catch (error) {
        status.textContent = file.name + ' could not be uploaded: ' + error.message
      }
      bar.hidden = true
      uploads -= 1
    }
    picker.value = ''
  }
  picker.addEventListener('change', () => take([...picker.files]))
  drop.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('over') })
  drop.addEventListener('dragleave', () => drop.classList.remove('over'))
  drop.addEventListener('drop', (event) => {
    event.preventDefault()
    drop.classList.remove('over')
    take([...event.dataTransfer.files])
  })
}
// a file that misses a drop zone would replace the page
for (const type of ['dragover', 'drop']) addEventListener(type, (event) => event.preventDefault())

function addPreview(field, url, name) {
  const rows = one('ol', field)
  if (rows.children.length >= Number(field.dataset.most)) throw new Error('there are ' + field.dataset.most + ' already')
  const row = one('template', field).content.firstElementChild.cloneNode(true)
  row.dataset.url = url
  one('.name', row).textContent = name
  rows.append(row)
  clearError(field)
}
document.addEventListener('click', ({ target }) => {
  const row = target.closest('[data-remove]')?.closest('li')
  if (!row) return
  const next = one('input[type=file]', row.closest('[data-kind=previews]'))
  row.remove()
  next.focus()
})

// forms
/** Of a form, what waits for its inspection, and answers why it cannot be sent. */
const inspections = new WeakMap()
/** What a field adds to the input: undefined where it says no more than its default. */
function valueOf(input) {
  const { kind, default: fallback } = input.dataset
  if (kind === 'previews') {
    const entries = all('li', input).map((row) => {
      const prompt = one('input', row).value.trim()
      return { ...(prompt && { prompt }), reference_audio_url: row.dataset.url }
    })
    return entries.length > 0 ? entries : undefined
  }
  if (kind === 'boolean') return String(input.checked) === fallback ? undefined : input.checked
  const text = kind === 'text' ? input.value : input.value.trim()
  if (input.validity?.badInput) return 'not a number'
  if (text === fallback && !('required' in input.dataset)) return undefined
  if (text === '') return kind === 'text' && fallback ? '' : undefined
  if (kind === 'list') return text.split(',').map((part) => part.trim()).filter(Boolean)
  if (kind === 'number' || (kind === 'number-or-text' && /^\\d+(\\.\\d+)?$/.test(text))) return Number(text)
  return text
}
const inputOf = (form) => Object.fromEntries(all('[data-kind]', form).flatMap((input) => {
  const value = valueOf(input)
  return value === undefined ? [] : [[input.dataset.name ?? input.name, value]]
}))
/** A value that is corrected is no longer marked. */
function clearError(field) {
  for (const place of all('.error', field)) place.textContent = ''
  for (const input of all('[aria-invalid]', field)) input.removeAttribute('aria-invalid')
  if (field.matches('[aria-invalid]')) field.removeAttribute('aria-invalid')
  const form = field.closest('form')
  if (form && !one('[aria-invalid]', form)) one('[data-form-error]', form).textContent = ''
}
document.addEventListener('input', ({ target }) => {
  const field = target.closest('form[data-submit] [data-field]')
  if (field) clearError(field)
})
function clearErrors(form) {
  for (const place of all('.error', form)) place.textContent = ''
  for (const input of all('[aria-invalid]', form)) input.removeAttribute('aria-invalid')
}
function showErrors(form, findings) {
  const elsewhere = []
  let first
  for (const { loc, msg } of findings) {
    const field = one('[data-field="' + CSS.escape(String(loc[1] ?? '')) + '"]', form)
    if (!field) { elsewhere.push(loc.slice(1).concat(msg).join(': ')); continue }
    const place = all('.error', field).at(-1)
    place.textContent += (place.textContent ? '; ' : '') + (loc.length > 2 ? 'entry ' + (Number(loc[2]) + 1) + ': ' : '') + msg
    const input = one('[data-kind]', field) ?? one('input', field)
    input.setAttribute('aria-invalid', 'true')
    for (let parent = field.closest('details'); parent; parent = parent.parentElement.closest('details')) parent.open = true
    first ??= input
  }
  const more = first ? ['Some values need to be corrected: they are marked.'] : []
  one('[data-form-error]', form).textContent = [...more, ...elsewhere].join(' ')
  first?.focus()
}
for (const form of all('form[data-submit]')) form.addEventListener('submit', async (event) => {
  event.preventDefault()
  const [button, status, alert] = [one('.submit button', form), one('.submit [role=status]', form), one('[data-form-error]', form)]
  clearErrors(form)
  if (uploads > 0) { alert.textContent = 'An upload is not finished yet.'; return }
  button.disabled = true
  const inspection = inspections.get(form)
  if (inspection) {
    status.textContent = 'Inspecting the dataset first …'
    const problem = await inspection()
    if (problem !== undefined) {
      alert.textContent = problem
      status.textContent = ''
      button.disabled = false
      return
    }
  }
  status.textContent = 'Sending …'
  try {
    const answer = await send(form.dataset.submit, inputOf(form))
    if (answer.ok) {
      const { request_id } = await answer.json()
      if ('results' in form.dataset) await addResult(form, request_id)
      else location.href = form.dataset.next + '/' + request_id + '#status'
    } else {
      const detail = await detailOf(answer)
      if (Array.isArray(detail)) showErrors(form, detail)
      else alert.textContent = answer.status === 401 ? 'You are no longer signed in: reload the page.' : sentence(detail, answer)
    }
  } catch {
    alert.textContent = 'The server cannot be reached. Nothing was sent.'
  }
  status.textContent = ''
  button.disabled = false
})

// the inspection of a dataset, before it is queued
for (const place of all('[data-inspection]')) {
  const form = place.closest('form')
  const [status, progress, report] = place.children
  let [timer, running, done, problem] = [undefined, undefined, Promise.resolve(), undefined]
  const inspect = () => {
    clearTimeout(timer)
    timer = undefined
    return done = run()
  }
  const run = async () => {
    running?.abort()
    const controller = running = new AbortController()
    problem = undefined
    const { training_data_url: url, ...rest } = inputOf(form)
    if (!url) { progress.hidden = true; status.textContent = ''; report.replaceChildren(); place.removeAttribute('aria-busy'); return }
    const names = new Set(all('[data-inspected]', form).map(({ name }) => name))
    const settings = Object.fromEntries(Object.entries(rest).filter(([name]) => names.has(name)))
    status.textContent = 'Inspecting the dataset …'
    place.setAttribute('aria-busy', 'true')
    try {
      const answer = await send(form.dataset.inspect, { training_data_url: url, ...settings }, controller.signal)
      const { detail, summary, html = '', isUsable = true } = await resultOf(answer)
      status.textContent = summary ?? 'Not inspected: ' + sentence(detail, answer)
      report.innerHTML = html
      if (!isUsable) problem = summary ? 'The dataset has errors: correct them first.' : 'The dataset cannot be used: ' + sentence(detail, answer)
    } catch (error) {
      if (error.name === 'AbortError') return
      report.replaceChildren()
      status.textContent = 'Not inspected: the server cannot be reached'
    }
    progress.hidden = true
    place.removeAttribute('aria-busy')
  }
  /** The last line of the answer, after those of the progress. */
  const resultOf = async (answer) => {
    if (!answer.ok) return { detail: await detailOf(answer) }
    for await (const line of jsonLines(answer)) {
      if (!('total' in line)) return line
      const [bar, count] = progress.children
      progress.hidden = false
      bar.max = line.total
      bar.value = line.done
      count.textContent = line.done + ' of ' + line.total + ' pairs'
    }
    throw new Error('the answer has no end')
  }
  inspections.set(form, async () => {
    if (timer !== undefined) inspect()
    for (let last; last !== done;) await (last = done)
    return problem
  })
  form.addEventListener('input', ({ target }) => {
    if (!('inspected' in target.dataset)) return
    clearTimeout(timer)
    running?.abort()
    if (target.name === 'training_data_url') report.replaceChildren() // it is about another file
    place.setAttribute('aria-busy', 'true')
    timer = setTimeout(inspect, 500)
  })
  place.addEventListener('click', ({ target }) => {
    const { setField, value } = target.dataset
    if (!setField) return
    const input = form.elements[setField]
    setValue(input, value)
    input.focus()
  })
  inspect()
}

// times, which the server writes in UTC, as the reader's clock shows them
const [dates, clock] = [new Intl.DateTimeFormat('sv', { dateStyle: 'short', timeStyle: 'short' }), new Intl.DateTimeFormat('sv', { timeStyle: 'medium' })]
function showTimes(root) {
  for (const time of all('time:not([title])', root)) {
    const date = new Date(time.dateTime)
    time.title = time.dateTime
    time.textContent = (time.closest('pre') ? clock : dates).format(date)
  }
  for (const option of all('option[data-time]', root)) option.textContent = option.dataset.title + ', ' + dates.format(new Date(option.dataset.time))
}
showTimes(document)

// running requests
async function follow(element) {
  const log = one('pre', element)
  for (;;) {
    await pause(document.hidden ? 5 : 1.5)
    if (!element.isConnected) return
    try {
      const answer = await fetch(element.dataset.state + '?from=' + (log?.dataset.lines ?? 0))
      if (answer.status === 401 || answer.status === 404) return
      if (!answer.ok) continue
      const { isActive, parts, lines, count } = await answer.json()
      for (const [name, html] of Object.entries(parts)) {
        const part = one('[data-part="' + name + '"]', element)
        const isUsed = part && ((part !== document.activeElement && part.contains(document.activeElement)) || all('audio', part).some(({ paused }) => !paused))
        if (!part || part.shown === html || (isUsed && isActive)) continue
        part.shown = html
        part.innerHTML = html
        showTimes(part)
        drawSounds(part)
      }
      if (log && lines.length > 0) {
        const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
        for (const { level, timestamp, message } of lines) {
          const [line, time] = [document.createElement('span'), document.createElement('time')]
          line.className = level
          time.dateTime = timestamp
          line.append(time, ' ' + message + '\\n')
          log.append(line)
        }
        showTimes(log)
        log.dataset.lines = count
        if (isAtEnd) log.scrollTop = log.scrollHeight
      }
      if (!isActive) return
    } catch {} // the server is starting again
  }
}
for (const element of all('[data-state]')) {
  const log = one('pre', element)
  if (log) log.scrollTop = log.scrollHeight
  if (element.dataset.active === 'true') follow(element)
}
async function addResult(form, id) {
  const result = document.createElement('section')
  result.dataset.state = form.dataset.next + '/' + id + '/state.json'
  result.tabIndex = -1
  result.innerHTML = '<h2>Result</h2><div data-part="status" role="status"></div><div data-part="summary"></div><div data-part="sounds"></div>'
  one('[data-result-list]').prepend(result)
  result.focus()
  follow(result)
}

// a list that changes
for (const list of all('[data-refresh]')) (async () => {
  while (list.dataset.refresh === 'true') {
    await pause(5)
    if (document.hidden || list.contains(document.activeElement)) continue
    try {
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), 'text/html')
      const fresh = one('[data-refresh]', page)
      if (!fresh) return
      list.dataset.refresh = fresh.dataset.refresh
      if (list.shown === fresh.innerHTML) continue
      list.shown = fresh.innerHTML
      list.innerHTML = list.shown
      showTimes(list)
    } catch {}
  }
})()

// sounds: one plays at a time, a line shows the position, and a click on the picture plays from there
const largestPicture = 40e6
let context
async function drawSound(figure) {
  const [audio, canvas] = [one('audio', figure), one('canvas', figure)]
  try {
    const answer = await fetch(audio.src)
    if (!answer.ok || Number(answer.headers.get('content-length')) > largestPicture) return
    context ??= new OfflineAudioContext(1, 1, 16000)
    const [samples, columns] = [(await context.decodeAudioData(await answer.arrayBuffer())).getChannelData(0), 240]
    const peaks = Array.from({ length: columns }, (_, i) => {
      let peak = 0
      for (let at = Math.floor(i * samples.length / columns); at < Math.floor((i + 1) * samples.length / columns); at++) peak = Math.max(peak, Math.abs(samples[at]))
      return peak
    })
    const largest = Math.max(...peaks, 1e-6)
    canvas.width = 3 * columns
    canvas.height = 112
    const pen = canvas.getContext('2d')
    pen.fillStyle = getComputedStyle(canvas).color
    peaks.forEach((peak, i) => { const half = Math.max(1, 52 * peak / largest); pen.fillRect(3 * i, 56 - half, 2, 2 * half) })
  } catch {} // the player still plays it
}
function drawSounds(root) {
  for (const figure of all('figure[data-sound]', root)) drawSound(figure)
}
drawSounds(document)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const canvas of all('figure[data-sound] canvas')) { const pen = canvas.getContext('2d'); pen.globalCompositeOperation = 'source-in'; pen.fillStyle = getComputedStyle(canvas).color; pen.fillRect(0, 0, canvas.width, canvas.height) }
})
const show = (audio) => {
  const head = one('.picture i', audio.closest('figure'))
  if (!head || !(audio.duration > 0)) return
  head.style.opacity = 1
  head.style.left = (100 * audio.currentTime) / audio.duration + '%'
  if (!audio.paused) requestAnimationFrame(() => show(audio))
}
document.addEventListener('play', ({ target }) => {
  for (const other of all('audio')) if (other !== target) other.pause()
  show(target)
}, true)
document.addEventListener('seeked', ({ target }) => show(target), true)
document.addEventListener('click', ({ target, clientX }) => {
  const picture = target.closest('figure[data-sound] .picture')
  const audio = picture && one('audio', picture.closest('figure'))
  if (!audio || !(audio.duration > 0)) return
  const { left, width } = picture.getBoundingClientRect()
  audio.currentTime = (audio.duration * (clientX - left)) / width
  audio.play().catch(() => {})
})
`
