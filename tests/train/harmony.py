# SPDX-License-Identifier: MIT
"""Messages in the harmony format."""

import json


def system(rng, tools=False):
    date = "2025-%02d-%02d" % (rng.randint(1, 12), rng.randint(1, 28))
    text = ("You are a helpful assistant.\nCurrent date: %s\n\n"
            "Reasoning: %s\n\n"
            "# Valid channels: analysis, commentary, final." %
            (date, rng.choice(["low", "medium", "high"])))
    if tools:
        text += ("\nCalls to these tools must go to the commentary channel: "
                 "'functions'.")
    return "<|start|>system<|message|>%s<|end|>" % text


def developer(text):
    return "<|start|>developer<|message|>%s<|end|>" % text


def user(text):
    return "<|start|>user<|message|>%s<|end|>" % text


def analysis(text):
    return ("<|start|>assistant<|channel|>analysis<|message|>%s<|end|>" %
            text)


def final(text):
    return ("<|start|>assistant<|channel|>final<|message|>%s<|return|>" %
            text)


def call(tool, arguments):
    return ("<|start|>assistant<|channel|>commentary to=functions.%s "
            "<|constrain|>json<|message|>%s<|call|>" %
            (tool, to_json(arguments)))


def result(tool, value):
    return ("<|start|>functions.%s to=assistant<|channel|>commentary"
            "<|message|>%s<|end|>" % (tool, to_json(value)))


def to_json(value):
    return json.dumps(value, ensure_ascii=False)
