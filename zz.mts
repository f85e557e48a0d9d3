import * as tf from '@tensorflow/tfjs'
import { startBackend } from './src/engine/backend.ts'
const b = await startBackend('webgpu')
console.log(b)
const many = Array.from({length: 61}, (_, i) => tf.fill([3], i))
console.log((await tf.addN(many).data())[0], 61*60/2)
// provoke an error
const backend = tf.backend() as any
backend.device.createBuffer({size: 16, usage: 0xffffff})
try { console.log(await tf.add(many[0], 1).data()) ; console.log(await tf.add(many[1], 1).data()) } catch (e) { console.log('error', e.message) }
