/** Where nodes are written while a function of tensors is recorded: the graph itself, or one of its functions. */
import type { GraphNode } from './graph.ts'

export type Scope = {
  isFunction: boolean
  nodes: GraphNode[]
  /** Nodes that must run though no output needs them. */
  effects: string[]
  /** What tensors are called here, by their ids. */
  names: Map<number, string>
  /** What the variables among them are read from and written to. */
  handles: Map<number, string>
  /** Names of nodes that were added once, by what they do. Among them are constants: the same axes and shapes occur in every block. */
  once: Map<string, string>
  /** Ids of the constants that were made here. */
  own: Set<number>
}

export const openScope = (isFunction: boolean): Scope => ({
  ...{ isFunction, nodes: [], effects: [] },
  ...{ names: new Map(), handles: new Map(), once: new Map(), own: new Set() },
})
