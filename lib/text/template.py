# SPDX-License-Identifier: MIT
"""Conversations by a model's own chat template: a row of JSON in, an answer of JSON out.

template.py PARENT FOLDER [DATE]: the process to work for, the folder of the model, and what the
template takes for today.  Row:
{"messages": [...], "tools": [...] or null}.  Answer: {"text", "spans": what the assistant wrote,
in bytes, "marked": whether the template itself marks it, "rewritten": turns that the template
writes otherwise once others follow}, or {"error"}.  reap runs this text (python3 -c).

A template sees what transformers gives to it (apply_chat_template), but for the date: it is none
or a fixed one, so that runs repeat.
"""
import sys

sys.path[:] = [p for p in sys.path if p]  # no module of the folder in which reap runs

import datetime
import itertools
import json
import os
import signal

NO_MODULE = 97
FOLDER, DATE = sys.argv[2], sys.argv[3:]
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
         "function": "tool", "function_response": "tool", "tool_response": "tool", "observation": "tool",
         "developer": "system"}
REASONING = ["thinking", "reasoning", "reasoning_content"]
TRANSLATED = ["role", "from", "content", "value", "tool_calls", "function_call", *REASONING]

try:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    raise SystemExit(NO_MODULE)


def follow(*_):
    """End with the tool that started this program: a template may loop for ever."""
    if os.getppid() != int(sys.argv[1]):
        os._exit(1)


def load(name):
    path = os.path.join(FOLDER, name)
    if not os.path.lexists(path):
        return None
    if not os.path.isfile(path):
        raise ValueError("%s: not a regular file" % path)
    try:
        return open(path, encoding="utf-8").read()
    except (OSError, ValueError) as e:
        raise ValueError("%s: %s" % (path, e))


def load_config():
    path = os.path.join(FOLDER, "tokenizer_config.json")
    try:
        config = json.loads(load("tokenizer_config.json") or "{}")
    except json.JSONDecodeError as e:
        raise ValueError("%s: %s" % (path, e))
    if not isinstance(config, dict):
        raise ValueError("%s: not an object" % path)
    return config


MARK = "<%s>" % os.urandom(16).hex()  # nobody writes it


class Generation(Extension):
    """{% generation %} ... {% endgeneration %} around what the assistant writes."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

    def mark(self, caller):
        return MARK + caller() + MARK


def unmarked(text):
    """The text without marks, and what stood between each two of them: spans in bytes."""
    pieces = [p.encode() for p in text.split(MARK)]
    ends = list(itertools.accumulate(map(len, pieces)))
    return b"".join(pieces).decode(), [list(span) for span in zip(ends[0::2], ends[1::2])]


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
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = refuse
    for date in DATE:
        env.globals["strftime_now"] = datetime.date.fromisoformat(date).strftime
    for name, token in config.items():
        token = token.get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and isinstance(token, str):
            env.globals[name] = token
    out = {}
    for name, text in texts_of(config).items():
        try:
            out[name] = env.from_string(text)
        except jinja2.exceptions.TemplateSyntaxError as e:
            raise ValueError("%s, line %d of the template '%s': %s" % (FOLDER, e.lineno, name, e))
    return out


def template_for(tools):
    """As loaders choose."""
    found = TEMPLATES.get("tool_use") if tools else None
    found = found or TEMPLATES.get("default")
    if not found:
        raise ValueError("no chat template in %s" % FOLDER)
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
            try:
                arguments = json.loads(arguments) if arguments.strip() else {}
            except ValueError as why:
                raise ValueError(f"tool_calls: arguments are not JSON: {why}")
        named = {"id": call["id"]} if call.get("id") is not None else {}
        out.append({"type": "function", **named, "function": {"name": f["name"], "arguments": arguments or {}}})
    return out


def message_of(m):
    role = m.get("role") or m.get("from")
    role = ROLES.get(role, role)
    content = m["content"] if m.get("content") is not None else m.get("value")
    out = {"role": role, "content": text_of(content)}
    out.update((k, v) for k, v in m.items() if v is not None and k not in TRANSLATED)
    thinking = next((m[k] for k in REASONING if m.get(k)), None)
    if role == "assistant" and thinking:
        out.update((k, text_of(thinking)) for k in REASONING)
    if role == "assistant" and calls_of(m):
        out["tool_calls"] = calls_of(m)
    return out


def tool_of(tool):
    return tool if "function" in tool else {"type": "function", "function": tool}


def answer(row):
    messages = [message_of(m) for m in row["messages"]]
    tools = [tool_of(t) for t in row.get("tools") or []] or None
    template = template_for(tools)

    def render(n, prompt=False):
        return unmarked(template.render(messages=messages[:n], tools=tools, documents=None, add_generation_prompt=prompt))

    def begins(i):
        """Where answer i stands in the whole, if the template does not rewrite it."""
        try:
            before, after = render(i, True)[0], render(i + 1)[0]
        except jinja2.exceptions.TemplateError:  # such as one that asks for a user's message
            return None
        return [len(before.encode()), len(after.encode())] if after.startswith(before) and whole.startswith(after) else None

    whole, marked = render(len(messages))
    found = [begins(i) for i, m in enumerate(messages) if m["role"] == "assistant"]
    return {"text": whole, "spans": marked or [span for span in found if span], "marked": bool(marked),
            "rewritten": found.count(None)}


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
    except jinja2.exceptions.UndefinedError as e:
        out = {"error": "it asks for the date: give --chat-date" if "'strftime_now'" in str(e) else str(e)}
    except Exception as e:
        out = {"error": (str(e) or repr(e)).splitlines()[0]}
    sys.stdout.write(json.dumps(out) + "\n")
    sys.stdout.flush()
