#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Chat templates as transformers renders them (apply_chat_template), and as reap-tokenize does.

templates.py check REAP-TOKENIZE N: N generated conversations for each template of
tests/fixtures/templates, texts and what {% generation %} marks compared.
templates.py freeze N: the vectors.jsonl there, for tests that have no transformers.
"""
import datetime
import glob
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile

FOLDER = os.path.join(os.path.dirname(__file__), "..", "fixtures", "templates")
TOKENIZER = os.path.join(FOLDER, "..", "model", "tokenizer.json")
BOS = "<s>"
TAGS = {"chatml": ["<|im_start|>", "<|im_end|>"], "glm": ["<|user|>", "<|assistant|>"], "minimax": ["]~b]", "[e~["],
        "dated": ["<|start_header|>", "<|eot|>"], "marked": ["[BOT]", "[END]"]}
# No sign by which reap-show --text shows another character.
WORDS = ["one", "zwei", "na\u00efve", "\u03c0", '"q"', "a<b", "&amp;", "'s", "\n", "\n\n", "{x}", "\U0001f642", "/nothink", "\\n"]


def text(r, most=6):
    return r.choice(WORDS[:5]) + "".join(r.choice(["", " "]) + r.choice(WORDS) for _ in range(r.randrange(most)))


def tools_of(r):
    names = r.sample(["find", "run", "no-op"], r.randint(1, 2))
    return [{"name": n, "description": text(r), "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
            for n in names]


class Conversation:
    """As a row has it, in one of its forms, and as transformers is given it."""

    def __init__(self, r):
        self.r, self.row, self.messages = r, [], []
        self.tools = tools_of(r) if r.random() < .5 else None
        if r.random() < .5:
            self.say(r.choice(["system", "developer"]))
        for _ in range(r.randint(1, 3)):
            self.say("user")
            while self.tools and r.random() < .5:
                self.call()
            self.say("assistant", thought=r.random() < .6)

    def add(self, row, message):
        self.row.append(row)
        self.messages.append({**message, "role": {"developer": "system"}.get(message["role"], message["role"])})

    def thought(self, row, message):
        """reasoning_content is what transformers makes of its other names, and `thinking` beside it."""
        t = text(self.r)
        row[self.r.choice(["thinking", "reasoning", "reasoning_content"])] = t
        message.update(reasoning_content=t, thinking=t)

    def content(self, row, message):
        t = text(self.r)
        message["content"] = t
        row["content"] = [t[:2], {"type": "text", "text": t[2:]}] if self.r.random() < .2 else t

    def say(self, role, thought=False):
        row, message = {"role": role}, {"role": role}
        self.content(row, message)
        if thought:
            self.thought(row, message)
        self.add(row, message)

    def call(self):
        row, message = {"role": "assistant"}, {"role": "assistant", "content": ""}
        if self.r.random() < .5:
            self.content(row, message)
        if self.r.random() < .5:
            self.thought(row, message)
        calls = []
        for i in range(self.r.choice([1, 1, 2])):
            f = {"name": self.r.choice(self.tools)["name"],
                 "arguments": {"q": text(self.r, 2), "n": self.r.choice([1, 2.5, None, True, [1, "\u00e9"], {"k": "<v>"}])}}
            calls.append({"id": "call%d" % i, "type": "function", "function": f})
        message["tool_calls"] = calls
        row["tool_calls"] = [{**c, "function": {**c["function"], "arguments": json.dumps(c["function"]["arguments"])}}
                             if self.r.random() < .5 else c for c in calls]
        self.add(row, message)
        for c in calls:
            answer = {"role": "tool", "tool_call_id": c["id"]}
            t = text(self.r)
            self.add({**answer, "content": t}, {**answer, "content": t})

    def whole_row(self):
        if not self.tools:
            return {"messages": self.row}
        wrap = self.r.random() < .7
        return {"messages": self.row, "tools": [self.wrapped(t) if wrap else t for t in self.tools]}

    @staticmethod
    def wrapped(tool):
        return {"type": "function", "function": tool}


def expected(template, c, date):
    """The text, and what the template marks of it; or what it refuses."""
    import jinja2
    from transformers.utils import chat_template_utils as u

    class Today(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromisoformat(date)

    u.datetime = Today
    try:
        texts, marks = u.render_jinja_template(
            conversations=[c.messages], tools=c.tools and [c.wrapped(t) for t in c.tools], chat_template=template,
            return_assistant_tokens_mask="generation %}" in template, bos_token=BOS)
    except jinja2.exceptions.TemplateError as e:
        return {"error": str(e)}
    marked = [texts[0][a:b] for a, b in marks[0]] if marks else []
    return {"text": texts[0], "marked": marked}


def vectors(seed, n):
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.jinja"))):
        name = os.path.basename(path)[:-len(".jinja")]
        template = open(path, encoding="utf-8").read()
        for i in range(n):
            c = Conversation(random.Random(f"{seed}:{name}:{i}"))
            date = "2025-11-05" if seed == "freeze" else "2025-11-%02d" % (1 + i % 3)
            yield {"template": name, "date": date, "row": c.whole_row(), **expected(template, c, date)}


def model(folder, name):
    """What stands beside a model that has this template: a tokenizer with its tags instead of Harmony's."""
    tokenizer = json.load(open(TOKENIZER, encoding="utf-8"))
    added = tokenizer["added_tokens"]
    tokenizer["added_tokens"] = added[:2] + [{**a, "content": t} for a, t in zip(added[2:], TAGS[name])]
    json.dump(tokenizer, open(os.path.join(folder, "tokenizer.json"), "w"))
    json.dump({"bos_token": BOS}, open(os.path.join(folder, "tokenizer_config.json"), "w"))
    os.symlink(os.path.abspath(os.path.join(FOLDER, name + ".jinja")), os.path.join(folder, "chat_template.jinja"))


def text_of(tokens):
    return "".join(t["text"] for t in tokens).replace("\ufffd", "")  # of a token within a character


def rendered(tool, folder, rows, date):
    """The texts of reap-tokenize's blocks, and what is kept of them."""
    stream = subprocess.run([tool, "-q", "-t", os.path.join(folder, "tokenizer.json"), "--rows", "--max-len", "100000",
                             "--chat-date", date, "-"], stdout=subprocess.PIPE, check=True,
                            input="".join(json.dumps(r) + "\n" for r in rows).encode()).stdout
    shown = subprocess.run([tool.replace("reap-tokenize", "reap-show"), "--text", folder, "-"], input=stream,
                           stdout=subprocess.PIPE, check=True).stdout
    tokens = [json.loads(line) for line in shown.splitlines()]
    for _, block in itertools.groupby(tokens, lambda t: t["block"]):
        block = list(block)
        yield text_of(block), [text_of(run) for kept, run in itertools.groupby(block, lambda t: t["kept"]) if kept]


def signs(s):
    """As reap-show writes a text."""
    return s.replace("\u2423", " ").replace("\n", "\u23ce")


def check(tool, n):
    differ, rows = 0, 0
    for (name, date), group in itertools.groupby(sorted(vectors("check", n), key=lambda v: (v["template"], v["date"])),
                                                 lambda v: (v["template"], v["date"])):
        group = [v for v in group if "text" in v]
        with tempfile.TemporaryDirectory() as folder:
            model(folder, name)
            got = list(rendered(tool, folder, [v["row"] for v in group], date))
        assert len(got) == len(group), (len(got), len(group))
        for (whole, kept), v in zip(got, group):
            rows += 1
            marked = [m[:-len("[END]")] for m in v["marked"]]  # a tag is nobody's text
            if signs(whole) != signs(v["text"]) or v["marked"] and [signs(k) for k in kept] != [signs(m) for m in marked]:
                differ += 1
                print("differs:", name, json.dumps(v["row"]), signs(whole), signs(v["text"]), kept, marked, sep="\n  ")
    print(f"{rows} conversations by {len(TAGS)} templates: {differ} differ from transformers")
    return differ


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(check(sys.argv[2], int(sys.argv[3])) != 0)
    for vector in vectors("freeze", int(sys.argv[2])):
        print(json.dumps(vector, ensure_ascii=False))
