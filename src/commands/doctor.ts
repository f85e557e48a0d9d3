/** `ltx-a2a doctor`: what this machine brings to a training, and what is missing. */

import { findings } from '../doctor/findings.ts'
import { examineMachine } from '../doctor/report.ts'
import type { BackendChoice } from '../engine/backend.ts'
import type { BaseChoice } from '../model/base-model.ts'
import { findingsTable } from '../report/findings-table.ts'
import type { Terminal } from '../report/terminal.ts'

export type DoctorOptions = BaseChoice & { backend?: BackendChoice; json?: boolean }

/** Never fails for what is missing: that is what it tells. */
export async function runDoctor({ backend = 'auto', json = false, ...base }: DoctorOptions, terminal: Terminal) {
  const report = await examineMachine(backend, base)
  terminal.result(json ? JSON.stringify(report, null, 2) : findingsTable(findings(report), terminal.resultStyle))
}
