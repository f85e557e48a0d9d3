/** The description of the API for programs, made from the same tables that check the input. */
import { z } from 'zod'
import { toolVersion } from '../platform/version.ts'
import { inputErrorTypes } from '../queue/input-error-types.ts'
import { trainEndpoint } from './endpoints.ts'
import { inputParameters } from './input.ts'

/** An OpenAPI 3.1 document. @param base the URL of the server. */
export function openApi(base: string) {
  const [owner, app] = trainEndpoint.split('/')
  const request = `/${owner}/${app}/requests/{id}`
  return {
    openapi: '3.1.0',
    info: {
      title: 'ltx-a2a',
      version: toolVersion,
      description: 'Trains audio-to-audio LoRAs for LTX-2.3 and LTX-2.5.',
    },
    servers: [{ url: base }],
    security: [{ key: [] }],
    paths: {
      [`/${trainEndpoint}`]: {
        post: { summary: 'Submits a training to the queue', ...withInput, ...answers(200, 'Status') },
      },
      [`/run/${trainEndpoint}`]: {
        post: { summary: 'Trains, and answers when it is done', ...withInput, ...answers(200, 'Output') },
      },
      [request]: {
        ...withId,
        get: { summary: 'The output of a request', ...answers(200, 'Output') },
        delete: {
          summary: 'Removes a completed request with its files, and the uploads that no other request names',
          responses: { 204: { description: 'It is removed' }, ...errors },
        },
      },
      [`${request}/status`]: {
        ...withId,
        get: {
          summary: 'How far a request is: 202 until it is completed',
          parameters: [{ name: 'logs', in: 'query', schema: { enum: ['0', '1'] } }],
          ...answers(200, 'Status'),
        },
      },
      [`${request}/status/stream`]: {
        ...withId,
        get: {
          summary: 'Its changes as server-sent events',
          parameters: [{ name: 'logs', in: 'query', schema: { enum: ['0', '1'] } }],
          responses: { 200: { description: 'Status objects', content: { 'text/event-stream': {} } } },
        },
      },
      [`${request}/cancel`]: {
        ...withId,
        put: { summary: 'Cancels a request', responses: { 202: { description: 'It will be cancelled' }, ...errors } },
      },
      '/health': {
        get: {
          summary: 'Whether the queue answers',
          security: [],
          responses: { 200: { description: 'It does' }, 503: { description: 'It does not' } },
        },
      },
      '/metrics': {
        get: {
          summary: 'Figures for Prometheus',
          responses: { 200: { description: 'In its text format', content: { 'text/plain': {} } } },
        },
      },
      '/.well-known/jwks.json': {
        get: {
          summary: 'The key that webhooks are signed with',
          security: [],
          responses: { 200: { description: 'A set of JSON web keys', ...json({ type: 'object' }) } },
        },
      },
      '/storage/upload/initiate': {
        post: {
          summary: 'Starts an upload: the file is then sent to upload_url with PUT',
          requestBody: json({ type: 'object', properties: { file_name: string, content_type: string } }),
          responses: {
            200: {
              description: 'Where to',
              ...json({ type: 'object', properties: { upload_url: string, file_url: string } }),
            },
          },
        },
      },
    },
    components: {
      securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'Authorization', description: 'Key <key>' } },
      schemas: { TrainingInput: inputSchema(), ...schemas },
    },
  }
}

/** The parameters as a JSON schema. */
function inputSchema() {
  const properties = Object.entries(inputParameters).map(([name, { schema, help, default: value }]) => {
    const { $schema: _, ...type } = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' })
    return [name, { ...type, description: help, ...(value !== undefined && { default: value }) }]
  })
  const required = Object.entries(inputParameters).flatMap(([name, { required }]) => (required ? [name] : []))
  return { type: 'object', properties: Object.fromEntries(properties), required, additionalProperties: false }
}

const string = { type: 'string' }
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: object) => ({ content: { 'application/json': { schema } } })
const withInput = { requestBody: { required: true, ...json(ref('TrainingInput')) } }
const withId = { parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } }] }
const errors = { default: { description: 'What is wrong', ...json(ref('Error')) } }
const answers = (status: number, schema: string) => ({
  responses: { [status]: { description: schema, ...json(ref(schema)) }, ...errors },
})

const schemas = {
  Status: {
    type: 'object',
    properties: {
      status: { enum: ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'] },
      request_id: string,
      response_url: string,
      status_url: string,
      cancel_url: string,
      queue_position: { type: 'integer' },
      logs: {
        type: ['array', 'null'],
        items: { type: 'object', properties: { message: string, level: string, source: string, timestamp: string } },
      },
      metrics: { type: 'object' },
      error: string,
      error_type: string,
    },
    required: ['status', 'request_id', 'response_url', 'logs'],
  },
  File: {
    type: 'object',
    properties: { url: string, content_type: string, file_name: string, file_size: { type: 'integer' } },
    required: ['url'],
  },
  Output: {
    type: 'object',
    properties: { lora_file: ref('File'), config_file: ref('File'), audio: ref('File'), debug_dataset: ref('File') },
    required: ['lora_file', 'config_file'],
  },
  Error: {
    type: 'object',
    properties: {
      detail: {
        oneOf: [
          string,
          {
            type: 'array',
            items: {
              type: 'object',
              properties: {
                loc: { type: 'array' },
                msg: string,
                type: { enum: inputErrorTypes },
                url: string,
                ctx: { type: 'object' },
                input: {},
              },
            },
          },
        ],
      },
      error_type: string,
    },
    required: ['detail'],
  },
}
