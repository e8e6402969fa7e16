// GitHub's own parser and expression evaluator for action.yml files, as a module and as a program.
//
// As a program it answers JSON lines on stdio until stdin closes: {id, method, params} -> {id, result} or
// {id, errors: [{message, line, column}]}. A value of an action.yml is either a plain string, which is never looked
// at again, or {expression, line, column}, which `evaluate` computes: no text is ever evaluated twice.

import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

register("./json_imports.mjs", import.meta.url);
// Imported after the hook is in place, hence not by static imports.
const { data, Evaluator, Lexer, Parser } = await import("@actions/expressions");
const { reviver } = await import("@actions/expressions/data/reviver");
const { truthy } = await import("@actions/expressions/result");
const { isBasicExpression, isMapping, isSequence, NoOperationTraceWriter } = await import("@actions/workflow-parser");
const { parseAction } = await import("@actions/workflow-parser/actions/action-parser");
const { IdBuilder } = await import("@actions/workflow-parser/model/converter/id-builder");
const { convertToIfCondition } = await import("@actions/workflow-parser/model/converter/if-condition");
const { TemplateContext, TemplateValidationErrors } = await import(
  "@actions/workflow-parser/templates/template-context"
);
const { readTemplate } = await import("@actions/workflow-parser/templates/template-reader");
const { getWorkflowSchema } = await import("@actions/workflow-parser/workflows/workflow-schema");
const { YamlObjectReader } = await import("@actions/workflow-parser/workflows/yaml-object-reader");

/** What is wrong with a file or an expression: each with its message and, where known, line and column. */
export class Invalid extends Error {
  constructor(findings) {
    super(findings.map((finding) => finding.message).join("\n"));
    this.findings = findings;
  }
}

/** The parser's errors as {message, line, column}. */
export function findings(context) {
  return context.errors.getErrors().map((error) => ({
    message: error.rawMessage,
    line: error.range?.start.line ?? null,
    column: error.range?.start.column ?? null,
  }));
}

// What GitHub takes a step without `if:` to say.
const RUN_ON_SUCCESS = { expression: "success()", line: null, column: null };
const STEP_STRINGS = { name: "name", run: "run", shell: "shell", "working-directory": "working_directory" };

/** Reads one action.yml: its inputs, outputs and steps. Throws Invalid with everything the official parser found. */
export async function loadAction(path) {
  const content = await readFile(path, "utf8");
  const { context, value: root } = parseAction({ name: path, content }, new NoOperationTraceWriter());

  function text(token) {
    if (isBasicExpression(token)) {
      return { expression: token.expression, line: token.line ?? null, column: token.col ?? null };
    }
    return token.toString();
  }

  function texts(mapping) {
    return Object.fromEntries(
      [...mapping].map(({ key, value }) => {
        if (key.isExpression) context.error(key, "The local runner does not know expressions as keys");
        return [key.toString(), text(value)];
      }),
    );
  }

  function properties(mapping) {
    return Object.fromEntries([...mapping].map(({ key, value }) => [key.toString(), value]));
  }

  function readInput({ key, value }) {
    const input = isMapping(value) ? properties(value) : {};
    return {
      name: key.toString(),
      default: input.default ? text(input.default) : null,
      required: input.required?.value === true,
      deprecation: input.deprecationMessage?.toString() ?? "",
    };
  }

  function readStep(token, ids) {
    const step = { id: "", condition: RUN_ON_SUCCESS, continue_on_error: "false", uses: null, with: {}, env: {} };
    for (const { key, value } of token) {
      const name = key.toString();
      if (name === "id") {
        const error = ids.tryAddKnownId(value.toString());
        if (error) context.error(value, error);
        step.id = value.toString();
      } else if (name === "if") {
        const condition = convertToIfCondition(context, value);
        if (condition) step.condition = text(condition);
      } else if (name === "uses") step.uses = value.toString();
      else if (name === "continue-on-error") step.continue_on_error = text(value);
      else if (name === "with" || name === "env") step[name] = texts(value);
      else step[STEP_STRINGS[name]] = text(value);
    }
    return step;
  }

  function readAction() {
    const { name, inputs, outputs, runs } = properties(root);
    const { using, steps } = properties(runs);
    if (using.toString() !== "composite") {
      context.error(using, `The local runner runs composite actions only, not '${using}'`);
      return null;
    }
    const ids = new IdBuilder();
    return {
      name: name.toString(),
      inputs: inputs ? [...inputs].map(readInput) : [],
      outputs: Object.fromEntries(
        outputs ? [...outputs].map(({ key, value }) => [key.toString(), text(properties(value).value ?? "")]) : [],
      ),
      steps: [...steps].map((step) => readStep(step, ids)),
    };
  }

  // What the parser already refused may lack any part, so it is read no further.
  const action = context.errors.count === 0 ? readAction() : null;
  if (context.errors.count > 0) throw new Invalid(findings(context));
  return action;
}

/** Reads a string as it stands in a `with:` of a workflow's step: a plain string, or an expression. */
function readTemplateString(template) {
  const context = new TemplateContext(new TemplateValidationErrors(), getWorkflowSchema(), new NoOperationTraceWriter());
  const file = context.getFileId("template");
  const reader = new YamlObjectReader(file, JSON.stringify(template));
  const token = readTemplate(context, "string-steps-context", reader, file);
  if (context.errors.count > 0) throw new Invalid(findings(context));
  return isBasicExpression(token) ? { expression: token.expression, line: null, column: null } : token.toString();
}

function statusFunctions({ scope, job }) {
  const answers = {
    always: () => true,
    success: () => scope === "success",
    failure: () => scope === "failure",
    cancelled: () => job === "cancelled",
  };
  const functions = Object.entries(answers).map(([name, answer]) => ({
    name,
    minArgs: 0,
    maxArgs: 0,
    call: () => new data.BooleanData(answer()),
  }));
  functions.push({
    name: "hashFiles",
    minArgs: 1,
    maxArgs: 255,
    call: () => {
      throw new Error("The local runner has no hashFiles()");
    },
  });
  return new Map(functions.map((definition) => [definition.name.toLowerCase(), definition]));
}

/**
 * Computes an expression. `wanted` says what its place wants: a "string", a "boolean" (which GitHub does not coerce), or
 * a "condition" (the truth of any value). `status` holds `scope`, what success() and failure() ask for (the composite
 * action's own status inside one, else the job's), and `job`, what cancelled() asks for.
 */
function evaluate({ expression, wanted, contexts, status }) {
  const functions = statusFunctions(status);
  const { tokens } = new Lexer(expression).lex();
  const tree = new Parser(tokens, Object.keys(contexts), [...functions.values()]).parse();
  const values = JSON.parse(JSON.stringify(contexts), reviver);
  const value = new Evaluator(tree, values, functions).evaluate();
  if (wanted === "condition") return truthy(value);
  if (!value.primitive) throw new Error(`A ${value.kind === data.Kind.Array ? "sequence" : "mapping"} was not expected`);
  if (wanted === "boolean" && value.kind !== data.Kind.Boolean) {
    throw new Error(`Unexpected value '${value.coerceString()}': a boolean was expected`);
  }
  return wanted === "boolean" ? value.value : value.coerceString();
}

const METHODS = {
  load: ({ path }) => loadAction(path),
  template: ({ template }) => readTemplateString(template),
  evaluate,
};

async function serve() {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    let answer;
    try {
      answer = { id, result: await METHODS[method](params) };
    } catch (error) {
      const errors = error instanceof Invalid ? error.findings : [{ message: error.message, line: null, column: null }];
      answer = { id, errors };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve();
