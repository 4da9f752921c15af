# SPDX-License-Identifier: MIT
"""Rows of the pack tool_agentic: tasks solved by calling functions.

Each task function returns a Task.  The order in which they draw from rng
fixes the packs: changing it makes other texts.
"""

import collections

import harmony
from words import CITIES, DAYS, FILES, NAMES, PRODUCTS, WORDS

Task = collections.namedtuple("Task",
                              "tool question thought arguments result answer")

# Name -> what it does, its parameters in TypeScript.
TOOLS = {
    "get_weather": (
        "Get the weather for a city.",
        "city: string,\n  unit?: \"celsius\" | \"fahrenheit\","),
    "add_event": (
        "Add an event to the calendar.",
        "title: string,\n  date: string,\n  time: string,\n"
        "  minutes?: number,"),
    "find_order": (
        "Look up an order by its id.",
        "order_id: string,"),
    "convert": (
        "Convert between units.",
        "value: number,\n  from: string,\n  to: string,"),
    "search_flights": (
        "Search flights between two cities.",
        "from: string,\n  to: string,\n  date: string,\n"
        "  max_price?: number,"),
    "send_email": (
        "Send an email.",
        "to: string,\n  subject: string,\n  body: string,"),
    "read_file": (
        "Read a text file.",
        "path: string,\n  max_lines?: number,"),
    "list_dir": (
        "List the files in a folder.",
        "path: string,"),
    "query_db": (
        "Run a read-only SQL query.",
        "sql: string,"),
    "stock_level": (
        "Get the stock level of a product.",
        "sku: string,\n  store?: string,"),
    "set_timer": (
        "Set a timer.",
        "minutes: number,\n  label?: string,"),
    "translate": (
        "Translate a word.",
        "text: string,\n  target: string,"),
    "route": (
        "Find a route between two places.",
        "from: string,\n  to: string,\n"
        "  mode: \"walk\" | \"drive\" | \"train\","),
    "calculator": (
        "Evaluate an arithmetic expression.",
        "expression: string,"),
    "create_ticket": (
        "Open a support ticket.",
        "title: string,\n  priority: \"low\" | \"normal\" | \"high\",\n"
        "  tags?: string[],"),
}

CONVERSIONS = [
    ("km", "m", 1000), ("m", "cm", 100), ("kg", "g", 1000),
    ("hours", "minutes", 60), ("minutes", "seconds", 60),
    ("days", "hours", 24), ("liters", "ml", 1000), ("weeks", "days", 7),
    ("feet", "inches", 12),
]

LANGUAGES = [("French", "fr"), ("German", "de"), ("Spanish", "es")]
TRANSLATIONS = {
    "dog": ("chien", "Hund", "perro"),
    "house": ("maison", "Haus", "casa"),
    "water": ("eau", "Wasser", "agua"),
    "bread": ("pain", "Brot", "pan"),
    "sun": ("soleil", "Sonne", "sol"),
    "night": ("nuit", "Nacht", "noche"),
    "tree": ("arbre", "Baum", "\u00e1rbol"),
    "milk": ("lait", "Milch", "leche"),
    "book": ("livre", "Buch", "libro"),
    "friend": ("ami", "Freund", "amigo"),
}


def developer_message(names):
    tools = "".join("\n// %s\ntype %s = (_: {\n  %s\n}) => any;\n" %
                    (TOOLS[name][0], name, TOOLS[name][1]) for name in names)
    return harmony.developer(
        "# Tools\n\n## functions\n\nnamespace functions {\n%s\n"
        "} // namespace functions" % tools)


def random_date(rng):
    return "2025-%02d-%02d" % (rng.randint(1, 12), rng.randint(1, 28))


def weather(rng):
    city, unit = rng.choice(CITIES), rng.choice(["celsius", "fahrenheit"])
    degrees = rng.randint(-5, 33)
    if unit == "fahrenheit":
        degrees = degrees * 9 // 5 + 32
    sky = rng.choice(["sunny", "cloudy", "rain", "snow", "fog", "windy"])
    question = rng.choice(["What is the weather in %s? Use %s.",
                           "How warm is it in %s right now, in %s?"])
    phrase = sky
    if sky in ("sunny", "cloudy", "windy"):
        phrase += " conditions"
    return Task(
        "get_weather", question % (city, unit),
        "The user asks about the weather in %s. I call get_weather." % city,
        {"city": city, "unit": unit},
        {"temperature": degrees, "conditions": sky,
         "humidity": rng.randint(20, 95)},
        "In %s it is %d degrees %s with %s." % (city, degrees, unit, phrase))


def event(rng):
    name = rng.choice(NAMES)
    kind = rng.choice(["Lunch", "Meeting", "Call", "Dinner", "Review",
                       "Workout"])
    date = random_date(rng)
    time = "%02d:%02d" % (rng.randint(7, 20), rng.choice([0, 15, 30, 45]))
    minutes = rng.choice([15, 30, 45, 60, 90])
    event_id = "ev_%04d" % rng.randint(0, 9999)
    return Task(
        "add_event",
        "Put a %s with %s on my calendar on %s at %s for %d minutes." %
        (kind.lower(), name, date, time, minutes),
        "I need to add an event titled %s with %s." % (kind, name),
        {"title": "%s with %s" % (kind, name), "date": date, "time": time,
         "minutes": minutes},
        {"status": "ok", "event_id": event_id},
        "Done. %s with %s is on your calendar for %s at %s." %
        (kind, name, date, time))


def order(rng):
    number = "%s-%05d" % (rng.choice("ABCDEFGH"), rng.randint(0, 99999))
    status = rng.choice(["shipped", "processing", "delivered", "cancelled",
                         "delayed"])
    product, date = rng.choice(PRODUCTS), random_date(rng)
    count = rng.randint(1, 5)
    question = rng.choice(["Where is my order %s?",
                           "What is the status of order %s?",
                           "Please check order %s for me."])
    return Task(
        "find_order", question % number,
        "I look up order %s with find_order." % number,
        {"order_id": number},
        {"order_id": number, "item": product, "quantity": count,
         "status": status, "updated": date},
        "Order %s (%d x %s) is %s as of %s." %
        (number, count, product, status, date))


def conversion(rng):
    source, target, factor = rng.choice(CONVERSIONS)
    value = rng.randint(2, 250)
    return Task(
        "convert", "How many %s are in %d %s?" % (target, value, source),
        "This is a unit conversion from %s to %s." % (source, target),
        {"value": value, "from": source, "to": target},
        {"result": value * factor},
        "%d %s is %d %s." % (value, source, value * factor, target))


def flights(rng):
    here, there = rng.sample(CITIES, 2)
    date = random_date(rng)
    found = [{"flight": "%s%d" % (
                 rng.choice(["AF", "BA", "LH", "KL", "DL", "UA"]),
                 rng.randint(100, 999)),
              "price": rng.randint(60, 900)}
             for _ in range(rng.randint(2, 3))]
    found.sort(key=lambda flight: flight["price"])
    cheapest = found[0]
    rng.shuffle(found)
    question = ("Find me the cheapest flight from %s to %s on %s." %
                (here, there, date))
    arguments = {"from": here, "to": there, "date": date}
    if rng.random() < .4:
        arguments["max_price"] = rng.choice([300, 500, 800, 1000])
        question += " My budget is %d dollars." % arguments["max_price"]
    return Task(
        "search_flights", question,
        "I search flights from %s to %s." % (here, there), arguments,
        {"flights": found},
        "The cheapest flight from %s to %s is %s for %d dollars." %
        (here, there, cheapest["flight"], cheapest["price"]))


def email(rng):
    name = rng.choice(NAMES)
    topic, subject, text = rng.choice([
        ("the meeting", "Meeting",
         "The meeting moved to %s." % rng.choice(DAYS)),
        ("the report", "Report",
         "Please send the report by %s." % rng.choice(DAYS)),
        ("the party", "Party", "You are invited on %s." % rng.choice(DAYS)),
        ("the invoice", "Invoice",
         "The invoice %d is attached." % rng.randint(100, 999))])
    to = "%s@example.%s" % (name.lower(), rng.choice(["com", "org", "net"]))
    return Task(
        "send_email", "Email %s about %s: %s" % (to, topic, text),
        "I compose an email to %s with the subject %s." % (name, subject),
        {"to": to, "subject": subject, "body": "Hi %s, %s" % (name, text)},
        {"status": "sent", "id": rng.randint(1000, 9999)},
        "I sent the email to %s." % to)


def read_file(rng):
    path = "/%s/%s/%s" % (rng.choice(["home", "srv", "data"]),
                          rng.choice(NAMES).lower(), rng.choice(FILES))
    lines = rng.choice([5, 10, 20, 50])
    words = rng.sample(WORDS, 3)
    question = rng.choice(["Show me the first %d lines of %s.",
                           "Read up to %d lines from %s."])
    return Task(
        "read_file", question % (lines, path),
        "The file is %s, so I use read_file." % path,
        {"path": path, "max_lines": lines},
        {"lines": words, "truncated": False},
        "The file contains three lines: %s, %s and %s." % tuple(words))


def list_folder(rng):
    path = "/%s/%s" % (rng.choice(["home", "srv", "data", "tmp"]),
                       rng.choice(NAMES).lower())
    files = rng.sample(FILES, rng.randint(2, 4))
    return Task(
        "list_dir", "Which files are in %s?" % path,
        "I list the folder %s." % path, {"path": path},
        {"files": files, "count": len(files)},
        "There are %d files: %s." % (len(files), ", ".join(files)))


def database(rng):
    table = rng.choice(["orders", "customers", "products", "employees"])
    city, count = rng.choice(CITIES), rng.randint(0, 999)
    if rng.randint(0, 1):
        return Task(
            "query_db", "How many %s are in %s?" % (table, city),
            "I count rows in the %s table where city is %s." % (table, city),
            {"sql": "SELECT COUNT(*) FROM %s WHERE city = '%s'" %
                    (table, city)},
            {"rows": [[count]]},
            "There are %d %s in %s." % (count, table, city))
    return Task(
        "query_db", "What is the total number of %s?" % table,
        "I count all rows in the %s table." % table,
        {"sql": "SELECT COUNT(*) FROM %s" % table}, {"rows": [[count]]},
        "There are %d %s." % (count, table))


def stock(rng):
    sku = "%s-%03d" % (rng.choice(PRODUCTS).upper()[:4], rng.randint(0, 999))
    city = rng.choice(CITIES)
    count = rng.choice([0, 0, rng.randint(1, 300)])
    if count:
        answer = "Yes, the %s store has %d of %s." % (city, count, sku)
    else:
        answer = "No, %s is out of stock in %s." % (sku, city)
    return Task(
        "stock_level", "Do we have %s in stock in %s?" % (sku, city),
        "I check the stock level of %s in the %s store." % (sku, city),
        {"sku": sku, "store": city},
        {"sku": sku, "store": city, "quantity": count}, answer)


def timer(rng):
    minutes = rng.randint(1, 90)
    label = rng.choice(["tea", "pasta", "laundry", "oven", "nap", "study"])
    question = rng.choice(["Set a %d minute timer for %s.",
                           "Start a timer of %d minutes, label it %s."])
    return Task(
        "set_timer", question % (minutes, label),
        "A timer of %d minutes is requested." % minutes,
        {"minutes": minutes, "label": label},
        {"status": "running", "timer_id": rng.randint(1, 99)},
        "The %s timer is running for %d minutes." % (label, minutes))


def translation(rng):
    word = rng.choice(list(TRANSLATIONS))
    i = rng.randint(0, 2)
    language, code = LANGUAGES[i]
    translated = TRANSLATIONS[word][i]
    return Task(
        "translate", "How do you say '%s' in %s?" % (word, language),
        "I translate '%s' to %s." % (word, language),
        {"text": word, "target": code}, {"translation": translated},
        "In %s, '%s' is '%s'." % (language, word, translated))


def route(rng):
    here, there = rng.sample(CITIES, 2)
    mode, means = rng.choice([("walk", "foot"), ("drive", "car"),
                              ("train", "train")])
    km, hours = rng.randint(20, 900), rng.randint(1, 20)
    return Task(
        "route", "How do I get from %s to %s by %s?" % (here, there, means),
        "I ask for a route with mode %s." % mode,
        {"from": here, "to": there, "mode": mode},
        {"distance_km": km, "hours": hours},
        "The route from %s to %s is %d km and takes about %d hours." %
        (here, there, km, hours))


def calculator(rng):
    a, b, c = rng.randint(10, 999), rng.randint(10, 999), rng.randint(2, 20)
    expression, value = rng.choice([
        ("%d * %d" % (a, b), a * b), ("%d + %d * %d" % (a, b, c), a + b * c),
        ("(%d + %d) * %d" % (a, b, c), (a + b) * c),
        ("%d - %d" % (a, b), a - b)])
    return Task(
        "calculator", "Please compute %s exactly." % expression,
        "I use the calculator for %s." % expression,
        {"expression": expression}, {"value": value},
        "%s = %d." % (expression, value))


def ticket(rng):
    product = rng.choice(PRODUCTS)
    priority = rng.choice(["low", "normal", "high"])
    fault = rng.choice(["is broken", "does not start", "makes noise",
                        "arrived late", "has a scratch"])
    number = "T%d" % rng.randint(1000, 9999)
    return Task(
        "create_ticket",
        "My %s %s. Open a %s priority ticket." % (product, fault, priority),
        "I open a ticket with priority %s." % priority,
        {"title": "%s %s" % (product.capitalize(), fault),
         "priority": priority, "tags": [product, fault.split()[-1]]},
        {"ticket": number, "status": "open"},
        "I opened ticket %s with %s priority." % (number, priority))


TASKS = [weather, event, order, conversion, flights, email, read_file,
         list_folder, database, stock, timer, translation, route, calculator,
         ticket]


def head(rng, names, question):
    rng.shuffle(names)
    return (harmony.system(rng, tools=True) + developer_message(names) +
            harmony.user(question))


def one_call(rng, kind):
    """kind < .62: answered; < .9: an error, then answered; else cut off."""
    task = rng.choice(TASKS)(rng)
    names = [task.tool]
    if rng.random() < .5:
        names.append(rng.choice([name for name in TOOLS
                                 if name != task.tool]))
    text = (head(rng, names, task.question) + harmony.analysis(task.thought) +
            harmony.call(task.tool, task.arguments))
    answer = harmony.result(task.tool, task.result) + harmony.final(
        task.answer)
    if kind < .62:
        return text + answer
    if kind < .9:
        error = rng.choice(["timeout", "rate limited", "service unavailable"])
        return (text + harmony.result(task.tool, {"error": error}) +
                harmony.analysis("The tool failed, I try again.") +
                harmony.call(task.tool, task.arguments) + answer)
    return text


def two_calls(rng):
    makers = rng.sample(TASKS, 2)
    first, second = (make(rng) for make in makers)
    text = head(rng, [first.tool, second.tool],
                first.question + " Also: " + second.question)
    for intro, task in (("There are two tasks. First: ", first),
                        ("Next: ", second)):
        text += (harmony.analysis(intro + task.thought) +
                 harmony.call(task.tool, task.arguments) +
                 harmony.result(task.tool, task.result))
    return text + harmony.final(first.answer + " " + second.answer)


def row(rng):
    kind = rng.random()
    if .62 <= kind < .8:
        return two_calls(rng)
    return one_call(rng, kind)
