# SPDX-License-Identifier: MIT
"""Conversations by a model's own chat template: a row of JSON in, an answer of JSON out.

template.py FOLDER: of the model.  Row: {"messages": [...], "tools": [...] or null}.  Answer:
{"text", "spans": what the assistant wrote, in bytes, "rewritten": turns that the template
writes otherwise once others follow}, or {"error"}.  reap runs this text (python3 -c).
"""
import json
import os
import sys

NO_MODULE = 97
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
         "function_call": "call", "tool_call": "call", "function": "tool", "function_response": "tool",
         "tool_response": "tool", "observation": "tool", "developer": "system"}

try:
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    raise SystemExit(NO_MODULE)


def load(name):
    path = os.path.join(sys.argv[1], name)
    return open(path, encoding="utf-8").read() if os.path.exists(path) else None


def refuse(what):
    raise jinja2.exceptions.TemplateError(what)


def template():
    config = json.loads(load("tokenizer_config.json") or "{}")
    text = load("chat_template.jinja") or config.get("chat_template")
    if isinstance(text, list):
        text = {t["name"]: t["template"] for t in text}.get("default")
    if not text:
        raise SystemExit("no chat template in %s" % sys.argv[1])
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = lambda v, indent=None, **how: json.dumps(v, ensure_ascii=False, indent=indent)
    env.globals["raise_exception"] = refuse
    for name in "bos_token", "eos_token":
        token = config.get(name)
        env.globals[name] = token["content"] if isinstance(token, dict) else token
    return env.from_string(text)


def text_of(content):
    if isinstance(content, list):
        return "".join(p if isinstance(p, str) else p["text"] for p in content)
    return content if content is not None else ""


def calls_of(message):
    calls = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    out = []
    for call in calls:
        f = call.get("function", call)
        arguments = f.get("arguments")
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        out.append({"type": "function", "id": call.get("id"), "function": {"name": f["name"], "arguments": arguments or {}}})
    return out


def message_of(m):
    role = m.get("role") or m.get("from")
    role = ROLES.get(role, role)
    content = m["content"] if m.get("content") is not None else m.get("value")
    if role == "call":
        call = json.loads(content)
        return {"role": "assistant", "content": "", "tool_calls": calls_of({"tool_calls": call if isinstance(call, list) else [call]})}
    out = {"role": role, "content": text_of(content)}
    thinking = m.get("thinking") or m.get("reasoning") or m.get("reasoning_content")
    if role == "assistant" and thinking:
        out["reasoning_content"] = text_of(thinking)
    if role == "assistant" and calls_of(m):
        out["tool_calls"] = calls_of(m)
    for key in "name", "tool_call_id":
        if m.get(key):
            out[key] = m[key]
    return out


def answer(row):
    messages = [message_of(m) for m in row["messages"]]

    def render(n, prompt=False):
        return TEMPLATE.render(messages=messages[:n], tools=row.get("tools") or None, add_generation_prompt=prompt)

    whole = render(len(messages))
    spans, rewritten = [], 0
    for i, m in enumerate(messages):
        if m["role"] != "assistant":
            continue
        before, after = render(i, True), render(i + 1)
        if after.startswith(before) and whole.startswith(after):
            spans.append([len(before.encode()), len(after.encode())])
        else:
            rewritten += 1
    return {"text": whole, "spans": spans, "rewritten": rewritten}


TEMPLATE = template()
for line in sys.stdin.buffer:
    try:
        out = answer(json.loads(line))
    except Exception as e:
        out = {"error": (str(e) or repr(e)).splitlines()[0]}
    sys.stdout.write(json.dumps(out) + "\n")
    sys.stdout.flush()
