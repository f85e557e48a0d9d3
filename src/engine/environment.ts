/** Variables of the environment, which native libraries read when they are loaded. */

export type Environment = Readonly<Record<string, string>>

/** Those that are not set yet. */
export const unlessSet = (variables: Environment, env: NodeJS.ProcessEnv = process.env): Environment =>
  Object.fromEntries(Object.entries(variables).filter(([name]) => env[name] === undefined))

/** Sets variables, for this process and those that it starts. @returns a function that restores what they were. */
export function setEnvironment(variables: Environment, env: NodeJS.ProcessEnv = process.env): () => void {
  const before = Object.keys(variables).map((name) => [name, env[name]] as const)
  Object.assign(env, variables)
  return () => {
    for (const [name, value] of before)
      if (value === undefined) delete env[name]
      else env[name] = value
  }
}
