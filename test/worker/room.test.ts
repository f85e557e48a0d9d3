/** Room on the disk of the runs. */
import { expect, it } from 'vitest'
import { leastFreeBytes } from '../../src/worker/job-files.ts'
import { createRoomCheck } from '../../src/worker/worker.ts'

it('without room no request is taken, which is said once until there is room', () => {
  let free = leastFreeBytes
  const errors: unknown[] = []
  const hasRoom = createRoomCheck({ freeBytes: () => free }, (error) => errors.push(error))
  const seen = [leastFreeBytes, leastFreeBytes - 1, 0, leastFreeBytes, 0].map((bytes) => {
    free = bytes
    return hasRoom()
  })
  expect(seen).toEqual([true, false, false, true, false])
  expect(errors.map(String)).toEqual(
    Array(2).fill('UserError: the disk of the runs has less than 256 MB of room: requests wait'),
  )
})
