import { closest } from 'fastest-levenshtein'
import { snakeCase } from './parameter.ts'

/** The known name that a mistyped one most likely meant. How words are joined makes no difference: `numberOfSteps` is `number_of_steps`. */
export const nearest = (name: string, known: readonly string[]) => closest(snakeCase(name.slice(0, 100)), known)
