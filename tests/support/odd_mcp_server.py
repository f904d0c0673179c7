"""A server of tools that nobody should trust, on its standard streams: `python odd_mcp_server.py HOW`. No SDK in it.

lying     schemas that are none, long descriptions, names of every sign; answers not as promised
silent    reads, and never answers
garbage   says what is no JSON, then goes on as `lying`
endless   answers a call with a line that never ends
short     ends as soon as it has told of its tools
telling   tells of the variable TOKEN in what it says of a tool
"""

import json
import os
import signal
import sys

BOMB = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
TOOLS = [
    {
        "name": "bad.schema/1",
        "description": "x" * 100_000,
        "inputSchema": {"type": "object", "properties": {"a": {"type": "banana"}}},
    },
    {"name": "far", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/a.json"}}}},
    {
        "name": "promise",
        "description": "\x1b[31mred\u202e",
        "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
    {
        "name": "bomb",
        "inputSchema": {"type": "object", "$defs": BOMB, "properties": {"a": {"$ref": "#/$defs/d0"}}},
        "outputSchema": {"type": "object", "$defs": BOMB, "properties": {"a": {"$ref": "#/$defs/d0"}}},
    },
    {"name": "far", "description": "again", "inputSchema": {"type": "object"}},
]


def answer(method: str, params: dict) -> object:
    if method == "initialize":
        known = {"tools": {}}
        info = {"name": "odd", "version": "0"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": known, "serverInfo": info}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        structured = {"a": 1} if params["name"] == "bomb" else {"n": "three"}
        picture = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
        return {"content": [{"type": "text", "text": "done"}, picture], "structuredContent": structured}
    return None


def main(how: str) -> None:
    if how == "telling":
        TOOLS[1]["description"] = "y" * 1_990 + os.environ["TOKEN"]
    if how == "garbage":
        print("Starting up… {", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if how == "silent" or "id" not in asked:
            continue
        if how == "endless" and asked["method"] == "tools/call":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                sys.stdout.write("a" * 1_000_000)
        result = answer(asked["method"], asked.get("params") or {})
        said = {"jsonrpc": "2.0", "id": asked["id"]}
        said |= {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps(said), flush=True)
        if how == "short" and asked["method"] == "tools/list":
            return


if __name__ == "__main__":
    main(sys.argv[1])
