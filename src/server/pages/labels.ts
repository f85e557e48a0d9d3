/** How parameters are called on the pages. */
import { snakeCase } from '../../config/parameter.ts'

const wholeNames: Readonly<Record<string, string>> = {
  training_data_url: 'Dataset',
  audio_duration_seconds: 'Clip length in seconds',
  audio_normalize: 'Normalize levels',
  audio_preserve_pitch: 'Preserve pitch',
  number_of_steps: 'Steps',
  holdout: 'Held-out pairs',
  holdout_data: 'Held-out dataset',
  holdout_previews: 'Previews of held-out pairs',
  validation: 'Recordings to preview',
  validation_negative_prompt: 'Negative prompt',
  validation_frame_rate: 'Frame rate',
  inputs: 'Recording',
  lora_strength: 'Strength',
}

const words: Readonly<Record<string, string>> = {
  cfg: 'CFG',
  ema: 'EMA',
  eval: 'evaluation',
  lora: 'LoRA',
  stg: 'STG',
  url: 'URL',
}

/** `preview_cfg` → `Preview CFG` */
export function labelOf(name: string): string {
  const text = name
    .split('_')
    .map((word) => words[word] ?? word)
    .join(' ')
  return wholeNames[name] ?? text.charAt(0).toUpperCase() + text.slice(1)
}

/** Texts of the command line name its flags; the pages have labels. */
export const withLabels = (text: string, names: readonly string[]) =>
  text.replace(/--(?:no-)?([a-z]+(?:-[a-z]+)*)/g, (flag, kebab: string) => {
    const name = snakeCase(kebab)
    return names.includes(name) ? labelOf(name) : flag
  })
