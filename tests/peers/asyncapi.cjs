// Standard input: {asyncapi, schema, documents: [...]}, as JSON. Standard output: what AsyncAPI's own parser says of the
// first, and for each document the errors that a JSON Schema validator finds by the second.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");
const Ajv = require("ajv/dist/2020");
const formats = require("ajv-formats");

async function main() {
  const { asyncapi, schema, documents } = JSON.parse(readFileSync(0, "utf8"));
  const { document, diagnostics } = await new Parser().parse(asyncapi);
  const ajv = formats(new Ajv({ strict: true, strictTypes: false, strictRequired: false }));
  const validate = ajv.compile(schema);
  const said = {
    version: document?.version() ?? null,
    channels: document?.channels().all().map((channel) => channel.address()) ?? [],
    operations: document?.operations().all().map((operation) => operation.id()) ?? [],
    diagnostics: diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, at: path.join(".") })),
    errors: documents.map((each) => (validate(each) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`))),
  };
  process.stdout.write(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
