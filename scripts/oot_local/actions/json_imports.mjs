// A module hook: lets Node import the JSON files that @actions/workflow-parser imports without an attribute.
// The package is built for bundlers; Node wants `with { type: "json" }` at each such import.

export function load(url, context, nextLoad) {
  if (!url.endsWith(".json")) return nextLoad(url, context);
  return nextLoad(url, { ...context, importAttributes: { ...context.importAttributes, type: "json" } });
}
