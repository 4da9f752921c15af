# SPDX-License-Identifier: MIT
"""Conversations by a model's own chat template: a row of JSON in, an answer of JSON out.

template.py FOLDER: of the model.  Row: {"messages": [...], "tools": [...] or null}.  Answer:
{"text", "spans": what the assistant wrote, in bytes, "rewritten": turns that the template
writes otherwise once others follow}, or {"error"}.  reap runs this text (python3 -c).
"""
import sys

sys.path[:] = [p for p in sys.path if p]  # no module of the folder in which reap runs

import json
import os
import signal

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


PARENT = os.getppid()


def follow(*_):
    """A template may loop for ever, but not for nobody."""
    if os.getppid() != PARENT:
        os._exit(1)


def load(name):
    path = os.path.join(sys.argv[1], name)
    if not os.path.lexists(path):
        return None
    if not os.path.isfile(path):
        raise ValueError("%s: not a regular file" % path)
    try:
        return open(path, encoding="utf-8").read()
    except (OSError, ValueError) as e:
        raise ValueError("%s: %s" % (path, e))


def load_config():
    path = os.path.join(sys.argv[1], "tokenizer_config.json")
    try:
        config = json.loads(load("tokenizer_config.json") or "{}")
    except json.JSONDecodeError as e:
        raise ValueError("%s: %s" % (path, e))
    if not isinstance(config, dict):
        raise ValueError("%s: not an object" % path)
    return config


def refuse(what):
    raise jinja2.exceptions.TemplateError(what)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def texts_of(config):
    """Templates by name.  That of a file is the default one."""
    texts = config.get("chat_template") or {}
    if isinstance(texts, list):
        texts = {t["name"]: t["template"] for t in texts}
    elif isinstance(texts, str):
        texts = {"default": texts}
    files = {"default": load("chat_template.jinja"), "tool_use": load("additional_chat_templates/tool_use.jinja")}
    return {**texts, **{name: text for name, text in files.items() if text}}


def templates():
    config = load_config()
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = refuse
    for name, token in config.items():
        if name.endswith("_token") and token:
            env.globals[name] = token["content"] if isinstance(token, dict) else token
    out = {}
    for name, text in texts_of(config).items():
        try:
            out[name] = env.from_string(text)
        except jinja2.exceptions.TemplateSyntaxError as e:
            raise ValueError("%s, line %d of the template '%s': %s" % (sys.argv[1], e.lineno, name, e))
    return out


def template_for(tools):
    """As loaders choose."""
    found = TEMPLATES.get("tool_use") if tools else None
    found = found or TEMPLATES.get("default")
    if not found:
        raise ValueError("no chat template in %s" % sys.argv[1])
    return found


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
        named = {"id": call["id"]} if call.get("id") is not None else {}
        out.append({"type": "function", **named, "function": {"name": f["name"], "arguments": arguments or {}}})
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
    tools = row.get("tools") or None
    template = template_for(tools)

    def render(n, prompt=False):
        return template.render(messages=messages[:n], tools=tools, add_generation_prompt=prompt)

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


signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback
signal.signal(signal.SIGALRM, follow)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
signal.setitimer(signal.ITIMER_REAL, 1, 1)
TEMPLATES = None
for line in sys.stdin.buffer:
    try:
        if TEMPLATES is None:
            TEMPLATES = templates()
        out = answer(json.loads(line))
    except KeyError as e:
        out = {"error": "%s is missing" % e}
    except Exception as e:
        out = {"error": (str(e) or repr(e)).splitlines()[0]}
    sys.stdout.write(json.dumps(out) + "\n")
    sys.stdout.flush()
