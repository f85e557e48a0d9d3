import { UserError } from '../errors.ts'

/** There is no such file; where it would only have been welcome, that is no error. */
export class Missing extends UserError {}
