# SPDX-License-Identifier: MIT
"""Rows of the pack calib_prompt: questions about real, free texts.

The texts come from Debian packages; tests/fixtures/packs/SOURCES.md lists
them with their licenses.
"""

import gzip
import re
import subprocess

import harmony

BIBLE_CHARS = 1_500_000
WORDNET_CHARS = 1_250_000
WORDNET_ENTRIES = 26000


def read_gzip(path):
    with gzip.open(path, "rt", errors="replace") as file:
        return file.read()


def bible():
    """(book, chapter, verse, text) of every verse."""
    output = subprocess.run(
        ["bible", "-l2000", "Gen1:1-Rev22:21"], capture_output=True,
        text=True, errors="replace", check=True).stdout
    book, chapter, verses = None, None, []
    for line in output.split("\n"):
        # A header like "1 Samuel 3"; no verse ends in a digit.
        header = re.match(r"^((?:[1-3] )?[A-Z][A-Za-z ]*?) (\d+)$", line)
        verse = re.match(r"^\s*(\d+) (.*)$", line)
        if header:
            book, chapter = header.group(1), int(header.group(2))
        elif verse and chapter:
            verses.append((book, chapter, int(verse.group(1)),
                           verse.group(2).strip()))
        elif line.strip() and verses:
            *place, text = verses[-1]
            verses[-1] = (*place, text + " " + line.strip())
    return verses


def wordnet():
    """(part of speech, words, definition, examples) of every entry."""
    entries = []
    for file_name, part in (("noun", "noun"), ("verb", "verb"),
                            ("adj", "adjective"), ("adv", "adverb")):
        with open("/usr/share/wordnet/data." + file_name,
                  encoding="latin-1") as lines:
            for line in lines:
                if line.startswith(" "):    # the licence
                    continue
                data, gloss = line.split(" | ", 1)
                fields = data.split()
                words = [re.sub(r"\(.*\)", "", fields[4 + 2 * i])
                         .replace("_", " ")
                         for i in range(int(fields[3], 16))]
                definition, *examples = (
                    piece.strip()
                    for piece in re.split(r'; (?=")', gloss.strip()))
                examples = [example.strip('"; ') for example in examples]
                if (12 <= len(definition) <= 220 and
                        re.match(r"^[a-z]", words[0])):
                    entries.append((part, words, definition, examples))
    return entries


def devils_dictionary():
    """(word, part of speech, definition)."""
    text = read_gzip("/usr/share/dictd/devil.dict.dz")
    text = text[text.index("ABASEMENT, n."):]
    entries = []
    for entry in re.split(r"\n\n(?=[A-Z][A-Z' -]+, [a-z. ]+\.  )", text):
        match = re.match(r"^([A-Z][A-Z' -]+), ([a-z. ]+?)\.  (.*)", entry,
                         re.S)
        if not match:
            continue
        word, part, body = match.groups()
        definition = " ".join(body.split("\n\n")[0].split())
        if 20 < len(definition) < 600:
            entries.append((word.lower(), part, definition))
    return entries


def elements():
    """(name, symbol, atomic number, atomic weight, description)."""
    text = read_gzip("/usr/share/dictd/elements.dict.dz")
    pattern = (r"\n([a-z]+)\nSymbol: (\w+)\nAtomic number: (\d+)\n"
               r"Atomic weight: ([^\n]+)\n(.*?)(?=\n\n|\Z)")
    return [(*match.groups()[:4], " ".join(match.group(5).split()))
            for match in re.finditer(pattern, text, re.S)]


def law():
    """(document, paragraph)."""
    paragraphs = []
    for file_name, title in (
            ("us-constitution", "the Constitution of the United States"),
            ("us-declaration", "the Declaration of Independence")):
        text = read_gzip("/usr/share/state/%s.gz" % file_name)
        for paragraph in re.split(r"\n\s*\n", text):
            paragraph = " ".join(paragraph.split())
            if 80 < len(paragraph) < 900:
                paragraphs.append((title, paragraph))
    return paragraphs


def shorten(text, limit):
    if len(text) <= limit:
        return text
    return text[:text.rfind(" ", 0, limit)]


def exchange(question, thought, answer):
    return (harmony.user(question) + harmony.analysis(thought) +
            harmony.final(answer))


def bible_rows(rng):
    verses, used, rows, chars = bible(), set(), [], 0
    starts = list(range(len(verses) - 3))
    rng.shuffle(starts)
    for i in starts:
        if chars > BIBLE_CHARS:
            break
        count = rng.choice([1, 2, 2, 3])
        run = verses[i:i + count + 1]       # one more, to continue with
        if any(j in used for j in range(i, i + count + 1)):
            continue
        book, chapter, verse, text = run[0]
        if any(other[:2] != (book, chapter) for other in run):
            continue
        used.update(range(i, i + count + 1))
        rows.append(bible_row(rng, book, chapter, verse,
                              [text for *_, text in run]))
        chars += len(rows[-1])
    return rows


def bible_row(rng, book, chapter, verse, texts):
    kind = rng.random()
    passage = " ".join(texts[:-1])
    place = "%s %d:%d" % (book, chapter, verse)
    if len(texts) > 2:
        place += "-%d" % (verse + len(texts) - 2)
    if kind < .4:
        question = rng.choice([
            "Quote %s from the King James Bible.", "What does %s say?",
            "Please recite %s.", "Read me %s in the King James Version."])
        return exchange(question % place,
                        "The user wants %s, chapter %d of %s." %
                        (place, chapter, book), passage)
    if kind < .75:
        question = rng.choice([
            "Continue this passage: %s", "What comes after this verse? %s",
            "Here is a verse: %s What follows?"])
        return exchange(question % texts[0],
                        "This is %s %d:%d. I continue from verse %d." %
                        (book, chapter, verse, verse + 1),
                        " ".join(texts[1:]))
    question = rng.choice(["Which book is this from? %s",
                           "Where in the Bible is this? %s"])
    return exchange(question % passage,
                    "The wording matches chapter %d of %s." % (chapter, book),
                    "This is %s." % place)


def wordnet_rows(rng):
    entries, rows, chars = wordnet(), [], 0
    rng.shuffle(entries)
    entries.sort(key=lambda entry: not entry[3])    # those with examples
    entries = entries[:WORDNET_ENTRIES]
    rng.shuffle(entries)
    for entry in entries:
        if chars > WORDNET_CHARS:
            break
        rows.append(wordnet_row(rng, *entry))
        chars += len(rows[-1])
    return rows


def wordnet_row(rng, part, words, definition, examples):
    word, kind = words[0], rng.random()
    if kind < .45:
        question = rng.choice([
            "What does the %s '%s' mean?", "Define the %s '%s'.",
            "Give the meaning of the %s '%s'."]) % (part, word)
        thought = "I recall the dictionary sense of '%s'." % word
        answer = "'%s' means: %s." % (word, definition)
    elif kind < .75:
        question = rng.choice([
            "Which %s means: %s?",
            "Find a %s for this definition: %s."]) % (part, definition)
        thought = "The definition describes a %s." % part
        answer = "The word is '%s'." % word
    else:
        question = "Explain '%s' and give an example or a synonym." % word
        thought = "'%s' is a %s." % (word, part)
        answer = "It means: %s." % definition
    if examples and rng.random() < .7:
        answer += " For example: %s." % shorten(examples[0], 160)
    if len(words) > 1 and rng.random() < .5:
        answer += " Synonyms: %s." % ", ".join(words[1:4])
    return exchange(question, thought, answer)


def other_rows(rng):
    for word, part, definition in devils_dictionary():
        question = rng.choice([
            "How does Ambrose Bierce define '%s'?",
            "What does the Devil's Dictionary say about '%s'?"])
        yield exchange(question % word,
                       "The entry is '%s', %s." % (word, part), definition)
    for name, symbol, number, weight, text in elements():
        question = rng.choice(["Tell me about the element %s.",
                               "What is %s?"])
        yield exchange(question % name,
                       "%s has the symbol %s and atomic number %s." %
                       (name.capitalize(), symbol, number),
                       "%s (%s), atomic number %s, atomic weight %s. %s" %
                       (name.capitalize(), symbol, number, weight,
                        shorten(text, 700)))
    for title, paragraph in law():
        yield exchange("Quote the paragraph of %s that begins: %s" %
                       (title, " ".join(paragraph.split()[:8])),
                       "I recall the paragraph from %s." % title, paragraph)


def rows(rng):
    texts = [*bible_rows(rng), *wordnet_rows(rng), *other_rows(rng)]
    rng.shuffle(texts)
    return [harmony.system(rng) + text for text in texts]
