/** `ltx-a2a train --resume`: going on with a run, with its own parameters, and flags on top. */
import { resolveTrainSettings } from '../config/train-settings.ts'
import type { Flags } from '../config/values.ts'
import type { Terminal } from '../report/terminal.ts'
import { openRunFolder } from '../train/run-folder.ts'
import { refuseFixedChanges } from './changes.ts'
import { runTrain } from './train.ts'

/** @param path the run's folder, or `latest`. @throws UserError when it is no run, or the flags would make it another one. */
export async function resumeTrain(path: string, flags: Flags, terminal: Terminal): Promise<void> {
  const { run, config } = openRunFolder(path)
  const begun = { job: config.parameters, file: run.config }
  const before = resolveTrainSettings({ flags: {}, begun })
  const { settings, notices } = resolveTrainSettings({ flags, begun })
  refuseFixedChanges(before.settings, settings, run.path)
  for (const notice of notices) terminal.note(notice)
  await runTrain(settings, terminal, { begun: { run, settings: before.settings } })
}
