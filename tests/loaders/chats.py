# SPDX-License-Identifier: MIT
"""Random conversations, each as a row of a dataset and as the messages that
openai-harmony renders.

generate(seed, n) yields (row, history, messages, effort, date): `messages` are
openai-harmony's own objects, built here and not by reap; `history` is the option
with which reap has to render the row.

    chats.py check REAP_TOKENIZE TOKENIZER N    compare ids and kept tokens of N rows
    chats.py freeze TOKENIZER N                 N short rows with their transcripts, and
                                                what is kept of them, for tests/unit
"""
import json
import os
import random
import subprocess
import sys
import tempfile

WORDS = ("the a of winter sea-level Prüfung naïve 東京 καλημέρα 1234 3.14159 don't I'll foo_bar "
         "{\"k\": [1, 2]} <|end|> <|start|>assistant <|channel|>final <think> `x` \t \n \n\n 🙂🏽 "
         "e\u0301 \u00a0 \u2028 λ->λ https://x.org/?q=1&r=%20 null 'quoted' \"q\" \\n /").split(" ")


MOST_WORDS = 30


def text(r, lo=1, hi=None):
    t = " ".join(r.choice(WORDS) for _ in range(r.randint(lo, hi or MOST_WORDS)))
    return t if t.strip() else "x"


def schema(r, depth=0):
    kind = r.choice(["string", "string", "number", "integer", "boolean", "array", "object", "enum",
                     "union", "oneOf", "none", "bare_array"])
    if depth > 2 and kind in ("array", "object", "oneOf"):
        kind = "string"
    s = {}
    if kind in ("string", "number", "integer", "boolean"):
        s["type"] = kind
    elif kind == "enum":
        s.update(type="string", enum=r.sample(["zeta", "alpha", "b c", "é"], r.randint(1, 4)))
    elif kind == "union":
        s["type"] = r.sample(["string", "integer", "null", "number"], r.randint(1, 3))
    elif kind == "array":
        s.update(type="array", items=schema(r, depth + 1))
    elif kind == "bare_array":
        s["type"] = "array"
    elif kind == "oneOf":
        s["oneOf"] = [schema(r, depth + 1) for _ in range(r.randint(1, 3))]
    elif kind == "object":
        s.update(objects(r, depth + 1))
    if r.random() < .4:
        s["description"] = text(r, 1, 6)
    if r.random() < .15:
        s["title"] = text(r, 1, 2)
    if r.random() < .2:
        s["nullable"] = r.choice([True, False])
    if r.random() < .3:
        s["default"] = r.choice(["q", "x y", 0, -3, 0.5, 2.25, True, False, None, [1, "a"], {"b": 1}])
    if r.random() < .15:
        s["examples"] = [text(r, 1, 2) for _ in range(r.randint(0, 2))]
    return s


def objects(r, depth=0):
    names = r.sample(["zone", "alpha", "q", "limit", "naïve", "a_b", "Opts"], r.randint(0, 4))
    s = {"type": "object", "properties": {n: schema(r, depth) for n in names}}
    if r.random() < .6:
        s["required"] = [n for n in names if r.random() < .5]
    return s


def tools_of(r):
    tools = []
    for name in r.sample(["get_weather", "search", "run", "noop"], r.randint(1, 3)):
        f = {"name": name, "description": r.choice([text(r, 1, 8), "one\ntwo", "ends\r\n", ""])}
        if r.random() < .8:
            f["parameters"] = objects(r)
        tools.append(f)
    return tools


class Builder:
    """One conversation in both forms."""

    def __init__(self, r, h):
        self.r, self.h = r, h
        self.row, self.messages, self.tools = [], [], []

    def add(self, role, content, channel=None, recipient=None, kind=None, name=None):
        h = self.h
        contents = [h.TextContent(text=c) for c in (content if isinstance(content, list) else [content])]
        m = h.Message.from_author_and_contents(h.Author(role=role, name=name), contents) \
            if hasattr(h.Message, "from_author_and_contents") else \
            h.Message(author=h.Author(role=role, name=name), content=contents)
        m.channel, m.recipient, m.content_type = channel, recipient, kind
        self.messages.append(m)

    def content(self):
        """A text, or a list of parts: (as the row has it, as harmony has it)."""
        if self.r.random() < .15:
            parts = [text(self.r, 1, 5) for _ in range(self.r.randint(1, 3))]
            return [p if self.r.random() < .3 else {"type": "text", "text": p} for p in parts], parts
        t = text(self.r)
        return t, t

    def analysis(self, message, keep):
        if self.r.random() < .6:
            t = text(self.r)
            message[self.r.choice(["thinking", "reasoning", "reasoning_content"])] = t
            if keep:
                self.add("assistant", t, "analysis")

    def calls(self, keep):
        message = {"role": "assistant"}
        self.analysis(message, keep)
        if self.r.random() < .3:
            row, own = self.content()
            message["content"] = row
            self.add("assistant", own, "commentary")
        made = []
        for _ in range(self.r.choice([1, 1, 2])):
            f = self.r.choice(self.tools)
            arguments = {"q": text(self.r, 1, 3), "n": self.r.choice([1, 0.1, 2.5, None, [1, 2]])}
            # ensure_ascii: how the model is served, as text
            written = json.dumps(arguments, ensure_ascii=False)
            call = {"name": self.r.choice(["", "functions."]) + f["name"],
                    "arguments": written if self.r.random() < .5 else arguments}
            ident = "call_%d" % self.r.randrange(10 ** 6)
            made.append((ident, f["name"]))
            message.setdefault("tool_calls", []).append(
                {"id": ident, "type": "function", "function": call})
            self.add("assistant", written, "commentary", "functions." + f["name"],
                     "<|constrain|>json")
        self.row.append(message)
        for ident, name in made:
            row, own = self.content()
            self.row.append({"role": "tool", "content": row, **self.r.choice(
                [{"tool_call_id": ident}, {"name": name}, {"tool_call_id": ident, "name": name}])})
            self.add("tool", own, "commentary", "assistant", name="functions." + name)

    def turn(self, keep, last):
        row, own = self.content()
        self.row.append({"role": "user", "content": row})
        self.add("user", own)
        if last and self.r.random() < .1:
            return
        if self.tools:
            for _ in range(self.r.choice([0, 1, 1, 2])):
                self.calls(keep)
        message = {"role": "assistant"}
        self.analysis(message, keep)
        message["content"], own = self.content()
        self.row.append(message)
        self.add("assistant", own, "final")


def generate(seed, n):
    import openai_harmony as h
    for i in range(n):
        r = random.Random(f"{seed}:{i}")
        b = Builder(r, h)
        history = r.choice(["served", "all"])
        effort, date = r.choice(["low", "medium", "high"]), r.choice([None, "2025-08-05"])
        system = h.SystemContent.new().with_reasoning_effort(h.ReasoningEffort(effort.capitalize()))
        if date:
            system = system.with_conversation_start_date(date)
        b.messages.append(h.Message.from_role_and_content(h.Role.SYSTEM, system))
        instructions = text(r) if r.random() < .6 else None
        if r.random() < .6:
            b.tools = tools_of(r)
        if instructions:
            b.row.append({"role": r.choice(["system", "developer"]), "content": instructions})
        if instructions or b.tools:
            developer = h.DeveloperContent.new()
            if instructions:
                developer = developer.with_instructions(instructions)
            if b.tools:
                developer = developer.with_function_tools(
                    [h.ToolDescription.new(f["name"], f["description"], parameters=f.get("parameters"))
                     for f in b.tools])
            b.messages.append(h.Message.from_role_and_content(h.Role.DEVELOPER, developer))
        turns = r.choice([1, 1, 2, 3])
        for t in range(turns):
            b.turn(history == "all" or t == turns - 1, t == turns - 1)
        row = {"messages": b.row}
        if b.tools:
            tools = [{"type": "function", "function": f} if r.random() < .7 else f for f in b.tools]
            row["tools"] = tools if r.random() < .7 else json.dumps(tools)
        yield row, history, b.messages, effort, date


def expected(encoding, messages):
    """Ids as openai-harmony renders them for training, and which are kept: the
    content of the assistant's messages."""
    import openai_harmony as h
    ids = encoding.render_conversation_for_training(
        h.Conversation.from_messages(messages), h.RenderConversationConfig(auto_drop_analysis=False))
    keep, role, inside = [], [], False
    for t in ids:
        name = encoding.decode([t]) if t >= 199998 else None
        if name == "<|start|>":
            role, header = [], True
        if name in ("<|end|>", "<|call|>", "<|return|>"):
            inside = False
        keep.append(int(inside))
        if name == "<|message|>":
            inside = encoding.decode(role).startswith("assistant")
        elif name != "<|start|>":
            role.append(t)
    return ids, keep


def load_encoding(tokenizer):
    """openai-harmony without a network: its vocabulary file from the tokenizer's."""
    import base64
    vocab = json.load(open(tokenizer, encoding="utf-8"))["model"]["vocab"]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    byte = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, "o200k_base.tiktoken"), "wb") as f:
        for token, i in sorted(vocab.items(), key=lambda x: x[1]):
            if i < 199998:
                f.write(base64.b64encode(bytes(byte[c] for c in token)) + b" %d\n" % i)
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = folder
    import openai_harmony as h
    return h.load_harmony_encoding(h.HarmonyEncodingName.HARMONY_GPT_OSS)


def check(tool, tokenizer, n):
    encoding = load_encoding(tokenizer)
    groups, differ, tokens = {}, 0, 0
    for row, history, messages, effort, date in generate("check", n):
        groups.setdefault((history, effort, date), []).append((row, expected(encoding, messages)))
    for (history, effort, date), pairs in groups.items():
        rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row, _ in pairs)
        stream = subprocess.run(
            [tool, "-q", "-t", tokenizer, "--rows", "--max-len", "100000", "--history", history,
             "--chat-effort", effort, "--chat-date", date or "none", "-"],
            input=rows.encode(), stdout=subprocess.PIPE, check=True).stdout
        shown = subprocess.run([tool.replace("reap-tokenize", "reap-show"), "-t", "block"],
                               input=stream, stdout=subprocess.PIPE, check=True).stdout
        blocks = [json.loads(line) for line in shown.splitlines()]
        blocks = [b for b in blocks if b.get("t") == "block"]
        assert len(blocks) == len(pairs), (len(blocks), len(pairs))
        for block, (row, (ids, keep)) in zip(blocks, pairs):
            tokens += len(ids)
            if block["ids"] != ids or [int(k) for k in block["keep"]] != keep:
                differ += 1
                if differ <= 3:
                    at = next((i for i, (a, b) in enumerate(zip(block["ids"], ids)) if a != b), -1)
                    print("differs at", at, json.dumps(row, ensure_ascii=False)[:2000])
                    print("  reap   ", repr(encoding.decode(block["ids"][max(at - 20, 0):at + 20])))
                    print("  harmony", repr(encoding.decode(ids[max(at - 20, 0):at + 20])))
    print(f"{n} conversations, {tokens} tokens: {differ} differ from openai-harmony")
    return differ


def freeze(tokenizer, n):
    global MOST_WORDS
    MOST_WORDS = 5
    encoding = load_encoding(tokenizer)
    for row, history, messages, effort, date in generate("freeze", n):
        ids, keep = expected(encoding, messages)
        kept, run = [], []
        for t, k in zip(ids + [0], keep + [0]):
            if k:
                run.append(t)
            elif run:
                kept.append(encoding.decode(run))
                run = []
        print(json.dumps({"row": row, "history": history, "effort": effort, "date": date,
                          "text": encoding.decode(ids), "kept": kept}, ensure_ascii=False))


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(check(sys.argv[2], sys.argv[3], int(sys.argv[4])) != 0)
    freeze(sys.argv[2], int(sys.argv[3]))
