// The person at the browser is the test: it is told which address to open, and
// answers with the one that the browser was sent to.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export async function open(address) {
  console.log(`open ${address}`)
  const { value } = await lines.next()
  return new URL(value)
}

export function check(condition, message) {
  if (!condition) throw new Error(message)
}
