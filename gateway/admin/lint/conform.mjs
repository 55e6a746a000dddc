// conform.mjs DOCUMENT < EXCHANGES: compares requests and answers, one JSON object a line, with an
// OpenAPI document. The document must describe each answer, with its status, its type and its body,
// and each request that was carried out.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const doc = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ajv = new Ajv({ strict: false, allErrors: true, coerceTypes: false });
formats(ajv);
ajv.addSchema(doc, "doc");
const compiled = new Map();

// validator returns a function that checks a value against the schema at a place in the document.
function validator(...place) {
  const escape = (p) => encodeURIComponent(p.replaceAll("~", "~0").replaceAll("/", "~1"));
  const ref = "doc#/" + place.map(escape).join("/");
  if (!compiled.has(ref)) compiled.set(ref, ajv.compile({ $ref: ref }));
  return compiled.get(ref);
}

const templates = Object.keys(doc.paths).map((path) => ({
  path,
  // If several templates match a path, the one with the most fixed characters is the right one.
  fixed: path.replace(/\{\w+\}/g, "").length,
  form: new RegExp("^" + path.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+\}/g, "([^/]+)") + "$"),
}));

function check({ method, path, query, sent, status, type, body }) {
  const found = templates
    .filter((t) => t.form.test(path) && doc.paths[t.path][method])
    .sort((a, b) => b.fixed - a.fixed)[0];
  if (!found) return [`no operation ${method} ${path}`];
  const op = doc.paths[found.path][method];
  const wrong = [];
  const fail = (what, valid) => wrong.push(`${what}: ${ajv.errorsText(valid.errors)}`);
  if (status < 300) {
    for (const [name, values] of Object.entries(query ?? {})) {
      const i = (op.parameters ?? []).findIndex((p) => p.in === "query" && p.name === name);
      if (i < 0) wrong.push(`the query has ${name}, which the document does not have`);
      for (const value of i < 0 ? [] : values) {
        const want = op.parameters[i].schema.type;
        const valid = validator("paths", found.path, method, "parameters", String(i), "schema");
        const v = want === "integer" ? Number(value) : want === "boolean" ? value === "true" : value;
        if (value !== "" && !valid(v)) fail(`the query's ${name}`, valid);
      }
    }
    if (op.requestBody?.required && !sent) wrong.push("a body is required, but none was sent");
    if (sent && !op.requestBody) wrong.push("a body was sent, but the document has none");
    if (sent && op.requestBody) {
      const valid = validator("paths", found.path, method, "requestBody", "content", "application/json", "schema");
      if (!valid(JSON.parse(sent))) fail("the request", valid);
    }
  }
  const answer = op.responses[status];
  if (!answer) return [...wrong, `the status ${status} is not in the document`];
  const media = answer.content?.[type];
  if (!media) return [...wrong, `the type ${type} of the answer ${status} is not in the document`];
  if (media.schema && type.endsWith("json")) {
    const valid = validator("paths", found.path, method, "responses", String(status), "content", type, "schema");
    if (!valid(JSON.parse(body))) fail(`the answer ${status}`, valid);
  }
  return wrong;
}

let count = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const e = JSON.parse(line);
  count++;
  for (const wrong of check(e)) {
    console.log(`${e.test}: ${e.method} ${e.path} ${e.sent ?? ""}: ${wrong}\n  ${e.body.slice(0, 400)}`);
    process.exitCode = 1;
  }
}
if (count === 0) {
  console.log("nothing was compared");
  process.exitCode = 1;
}
