// A language model that says what it is told to, as `@copilotkit/aimock` serves it (Anthropic's Messages API, OpenAI's
// chat completions), for one test. Standard input: {opening, rounds} on one line, as JSON; it serves until standard input
// ends. Standard output: {port}, once it serves.
//
// A prompt that holds the text `opening` begins a round of the conversation, and `rounds` says for each of them what
// the model answers, one turn after the other: {text} or {tool, input}. Which round and turn it is can be seen from
// what the conversation holds and from nothing else: only a session that was really resumed ever gets to the second
// round. What is asked without tools (a title, say) is no part of it. GET /__aimock/journal tells what was asked.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const place = process.env.NODE_PATH + "/@copilotkit/aimock/dist/index.js";
const usage = { input_tokens: 100, output_tokens: 10 };

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");

function answer(script, request) {
  if (request.embeddingInput !== undefined) return { embedding: [0.5, -0.25] };
  if (!request.tools?.length) return { content: "A title", usage };
  let round = 0;
  let turn = 0;
  for (const message of request.messages) {
    if (message.role === "user" && textOf(message.content).includes(script.opening)) {
      round += 1;
      turn = 0;
    } else if (message.role === "assistant") turn += 1;
  }
  const said = script.rounds[round - 1]?.[turn];
  if (said === undefined) {
    const message = `nothing is written for round ${round}, turn ${turn + 1}`;
    return { error: { message, type: "invalid_request_error" }, status: 400 };
  }
  if (said.tool === undefined) return { content: said.text, usage };
  const call = { id: `toolu_${round}_${turn}`, name: said.tool, arguments: JSON.stringify(said.input) };
  return { toolCalls: [call], usage };
}

async function main(line) {
  const { LLMock } = await import(pathToFileURL(place).href);
  const script = JSON.parse(line);
  const mock = new LLMock({ port: 0, host: "127.0.0.1", journalMaxEntries: 0 });
  mock.on({ predicate: () => true }, (request) => answer(script, request));
  await mock.start();
  // Over a socket Codex would tell only what is new in a conversation; refused, it asks as all others do.
  const { server } = mock.serverInstance;
  server.removeAllListeners("upgrade");
  server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\n"));
  console.log(JSON.stringify({ port: mock.port }));
}

createInterface({ input: process.stdin })
  .once("line", (line) =>
    main(line).catch((error) => {
      console.error(error);
      process.exit(1);
    }),
  )
  .once("close", () => process.exit(0));
