/** What is wrong with a value, in the terms of the hosted API: pydantic's types of errors, and those of its own documentation. */
import { z } from 'zod'
import type { InputErrorType } from '../queue/input-error-types.ts'
import type { ErrorDetail } from '../queue/request.ts'

type Issue = z.core.$ZodIssue

/** Longer values are not sent back. */
const longestInput = 1000

/** @param input what was given; left out where that is long. */
export function finding(
  loc: ErrorDetail['loc'],
  type: InputErrorType,
  msg: string,
  { ctx, input }: { ctx?: Record<string, unknown>; input?: unknown } = {},
): ErrorDetail {
  const isShown = input !== undefined && (JSON.stringify(input) ?? '').length <= longestInput
  return { loc, msg, type, ...(ctx && { ctx }), ...(isShown && { input }) }
}

/** What the schema of a parameter has against its value. */
export function findingsOf(name: string, schema: z.ZodType, value: unknown, issues: readonly Issue[]): ErrorDetail[] {
  return issues.flatMap((issue) => {
    const loc = ['body', name, ...issue.path.map((key) => (typeof key === 'number' ? key : String(key)))]
    const refused = issue.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)[key], value)
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) =>
        finding([...loc, key], 'extra_forbidden', 'Extra inputs are not permitted', {
          input: (refused as Record<string, unknown>)[key],
        }),
      )
    if (refused === undefined) return [missing(loc)]
    const { type, msg, ctx } = explained(issue, refused, schema)
    return [finding(loc, type, msg, { ...(ctx && { ctx }), input: refused })]
  })
}

export const missing = (loc: ErrorDetail['loc']) => finding(loc, 'missing', 'Field required')

type Explained = { type: InputErrorType; msg: string; ctx?: Record<string, unknown> }

function explained(issue: Issue, value: unknown, schema: z.ZodType): Explained {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, value, schema, issue.message)
    case 'invalid_value': {
      const names = issue.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value)))
      const list = names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${names.at(-1)}` : names.join()
      return { type: 'one_of', msg: `Input should be ${list}`, ctx: { expected: issue.values } }
    }
    case 'too_small':
      return tooSmall(issue)
    case 'too_big':
      return tooBig(issue)
    default:
      return { type: 'value_error', msg: `Value error, ${issue.message}` }
  }
}

/** @param message what the schema says itself: of a value that may be written in several ways. */
function wrongType(expected: string, value: unknown, schema: z.ZodType, message: string): Explained {
  const unable = (type: 'int' | 'float' | 'bool', name: string): Explained =>
    typeof value === 'string'
      ? { type: `${type}_parsing`, msg: `Input should be a valid ${name}, unable to parse string as ${name}` }
      : { type: `${type}_type`, msg: `Input should be a valid ${name}` }
  switch (expected) {
    case 'int':
      return {
        type: 'int_from_float',
        msg: 'Input should be a valid integer, got a number with a fractional part',
      }
    case 'number':
      if (schema instanceof z.ZodPipe) return { type: 'value_error', msg: `Value error, ${message}` }
      return isWhole(schema) ? unable('int', 'integer') : unable('float', 'number')
    case 'boolean':
      return unable('bool', 'boolean')
    case 'array':
      return { type: 'list_type', msg: 'Input should be a valid list' }
    case 'object':
      return { type: 'dict_type', msg: 'Input should be a valid dictionary' }
    default:
      return { type: 'string_type', msg: 'Input should be a valid string' }
  }
}

const isWhole = (schema: z.ZodType) =>
  z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }).type === 'integer'

function tooSmall({ origin, minimum, inclusive }: z.core.$ZodIssueTooSmall): Explained {
  if (origin === 'array' || origin === 'string')
    return {
      type: 'sequence_too_short',
      msg: `Sequence should have at least ${minimum} ${origin === 'array' ? 'items' : 'characters'}`,
      ctx: { min_length: minimum },
    }
  return inclusive
    ? { type: 'greater_than_equal', msg: `Input should be greater than or equal to ${minimum}`, ctx: { ge: minimum } }
    : { type: 'greater_than', msg: `Input should be greater than ${minimum}`, ctx: { gt: minimum } }
}

function tooBig({ origin, maximum, inclusive }: z.core.$ZodIssueTooBig): Explained {
  if (origin === 'array' || origin === 'string')
    return {
      type: 'sequence_too_long',
      msg: `Sequence should have at most ${maximum} ${origin === 'array' ? 'items' : 'characters'}`,
      ctx: { max_length: maximum },
    }
  return inclusive
    ? { type: 'less_than_equal', msg: `Input should be less than or equal to ${maximum}`, ctx: { le: maximum } }
    : { type: 'less_than', msg: `Input should be less than ${maximum}`, ctx: { lt: maximum } }
}
