/** The zip that `fix-dataset` and `make-pairs` write. */
import { UserError } from '../platform/errors.ts'
import { type OutputFile, type OutputOptions, openOutputFile } from '../platform/output-file.ts'

/**
 * Checks where the zip goes; `-` is standard output.
 * @param options.json whether standard output is taken already.
 * @throws UserError as `openOutputFile` does; for a name that is not that of a zip; and where the zip would go to a terminal.
 */
export function openZipOutput(out: string, { json, ...options }: OutputOptions & { json?: boolean }): OutputFile {
  const file = openOutputFile(out, options)
  if (file.isStdout && (json || process.stdout.isTTY))
    throw new UserError(`the zip would be written to ${json ? 'the same place as --json' : 'the terminal'}`, {
      hint: 'name a file with --out',
    })
  if (!file.isStream && !/\.zip$/i.test(out))
    throw new UserError(`--out ${out} does not end in .zip, and a zip is written`, {
      hint: `use --out ${out.replace(/\.[^./\\]*$/, '')}.zip`,
    })
  return file
}
