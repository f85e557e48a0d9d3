/** Fields of the hosted trainers' shared job format that describe video. A job that has them runs; they change nothing here. */
export const videoFields: readonly string[] = [
  'number_of_frames',
  'frame_rate',
  'resolution',
  'aspect_ratio',
  'auto_scale_input',
  'with_audio',
  'generate_audio_in_validation',
  'validation_number_of_frames',
  'validation_resolution',
  'validation_aspect_ratio',
  'first_frame_conditioning_p',
]

export const isVideoField = (name: string) => videoFields.includes(name)
