/** A variable for each name. */
export function forEach<Name extends string, Variable>(
  names: readonly Name[],
  variableFor: (name: Name) => Variable,
): { readonly [N in Name]: Variable } {
  return Object.fromEntries(names.map((name) => [name, variableFor(name)])) as { readonly [N in Name]: Variable }; // an entry for each name
}
