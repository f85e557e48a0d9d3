/** Principal component analysis of short vectors, with Jacobi rotations. */

/** The axes by decreasing variance, and the standard deviation along each. */
export type PrincipalAxes = { mean: Float64Array; axes: Float64Array[]; deviations: Float64Array }

/** @param vectors all of the same length. */
export function principalAxes(vectors: readonly Float32Array[]): PrincipalAxes {
  const size = (vectors[0] as Float32Array).length
  const mean = new Float64Array(size)
  for (const vector of vectors)
    for (let i = 0; i < size; i++) mean[i] = (mean[i] as number) + (vector[i] as number) / vectors.length
  const covariance = Array.from({ length: size }, () => new Float64Array(size))
  for (const vector of vectors)
    for (let i = 0; i < size; i++) {
      const row = covariance[i] as Float64Array
      const a = ((vector[i] as number) - (mean[i] as number)) / vectors.length
      for (let j = 0; j < size; j++) row[j] = (row[j] as number) + a * ((vector[j] as number) - (mean[j] as number))
    }
  const eigenvectors = diagonalize(covariance)
  const order = Array.from({ length: size }, (_, k) => k).sort(
    (a, b) => variance(covariance, b) - variance(covariance, a),
  )
  return {
    mean,
    axes: order.map((k) => Float64Array.from(eigenvectors, (row) => row[k] as number)),
    deviations: Float64Array.from(order, (k) => Math.sqrt(Math.max(0, variance(covariance, k)))),
  }
}

const variance = (diagonal: readonly Float64Array[], k: number) => (diagonal[k] as Float64Array)[k] as number

/** Diagonalizes a symmetric matrix in place. @returns its eigenvectors as columns. */
function diagonalize(a: Float64Array[]): Float64Array[] {
  const size = a.length
  const at = (m: Float64Array[], i: number, j: number) => (m[i] as Float64Array)[j] as number
  const vectors = a.map((_, i) => Float64Array.from({ length: size }, (_, j) => (i === j ? 1 : 0)))
  for (let sweep = 0; sweep < 30; sweep++)
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) {
        if (Math.abs(at(a, p, q)) < 1e-12) continue
        const angle = 0.5 * Math.atan2(2 * at(a, p, q), at(a, q, q) - at(a, p, p))
        const [c, s] = [Math.cos(angle), Math.sin(angle)]
        const rotate = (row: Float64Array) => {
          const [x, y] = [row[p] as number, row[q] as number]
          row[p] = c * x - s * y
          row[q] = s * x + c * y
        }
        for (const row of a) rotate(row)
        const [rowP, rowQ] = [a[p] as Float64Array, a[q] as Float64Array]
        for (let j = 0; j < size; j++) {
          const [x, y] = [rowP[j] as number, rowQ[j] as number]
          rowP[j] = c * x - s * y
          rowQ[j] = s * x + c * y
        }
        for (const row of vectors) rotate(row)
      }
  return vectors
}
