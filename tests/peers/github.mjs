// GitHub's REST API as `emulate` plays it, for one test. Standard input: {baseUrl, seed} on one line, as JSON; it serves
// until standard input ends. Standard output: {port}, once it serves.
//
// Two routes are ours. POST /_emulate/set {collection, where, set} changes one row of its state, for what GitHub does by
// itself and emulate does not (a pull request's head after a push, say). POST /_emulate/clock {seconds} sets its clock so
// many seconds after the real one.
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const dist = process.env.NODE_PATH + "/emulate/dist/";
const load = (file) => import(pathToFileURL(dist + file).href);

const RealDate = Date;
let ahead = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [RealDate.now() + ahead * 1000]));
  }
  static now() {
    return RealDate.now() + ahead * 1000;
  }
};

async function plugin() {
  // Its bundler names the file of a service by its content; the lock file pins the content.
  for (const file of readdirSync(dist).filter((name) => name.startsWith("dist-") && name.endsWith(".js"))) {
    if (readFileSync(dist + file, "utf8").includes("githubPlugin,")) return load(file);
  }
  throw new Error("emulate has no GitHub in it");
}

// With a base URL of another's it does not say where it listens, so it is told.
async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

async function listening(createEmulator, options) {
  for (;;) {
    const port = await freePort();
    try {
      await createEmulator({ ...options, port });
      return port;
    } catch (error) {
      if (error.code !== "EADDRINUSE") throw error; // somebody was faster
    }
  }
}

async function main(line) {
  const { githubPlugin, getGitHubStore } = await plugin();
  const register = githubPlugin.register;
  githubPlugin.register = (app, store, ...rest) => {
    register(app, store, ...rest);
    app.post("/_emulate/set", async (c) => {
      const { collection, where, set } = await c.req.json();
      const rows = getGitHubStore(store)[collection];
      const found = rows.all().filter((row) => Object.entries(where).every(([name, value]) => row[name] === value));
      for (const row of found) rows.update(row.id, set);
      return c.json({ changed: found.length });
    });
    app.post("/_emulate/clock", async (c) => {
      ahead = (await c.req.json()).seconds;
      return c.json({ now: new Date().toISOString() });
    });
  };
  const { createEmulator } = await load("api.js");
  const { baseUrl, seed } = JSON.parse(line);
  const port = await listening(createEmulator, { service: "github", baseUrl, seed });
  console.log(JSON.stringify({ port }));
}

createInterface({ input: process.stdin })
  .once("line", (line) =>
    main(line).catch((error) => {
      console.error(error);
      process.exit(1);
    }),
  )
  .once("close", () => process.exit(0));
