# SPDX-License-Identifier: MIT
"""Rows of the pack reasoning_style: small tasks worked out step by step.

Each task function returns question, working and answer.  The order in which
they draw from rng fixes the packs: changing it makes other texts.
"""

import math

import harmony
from words import CITIES, DAYS, ITEMS, NAMES, WORDS

COMPARISONS = [
    ("taller", "tallest", "shortest"), ("older", "oldest", "youngest"),
    ("faster", "fastest", "slowest"), ("richer", "richest", "poorest"),
    ("heavier", "heaviest", "lightest"),
]
NONSENSE = ["bloop", "razzie", "lazzo", "wug", "fep", "glim", "tove", "snark",
            "zorp", "mimsy", "quib", "drell"]


def running_sum(numbers):
    """The additions from left to right, and the sum."""
    total, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append("%d + %d = %d" % (total, number, total + number))
        total += number
    return ", ".join(steps), total


def addition(rng):
    numbers = [rng.randint(2, 199) for _ in range(rng.randint(3, 6))]
    steps, total = running_sum(numbers)
    question = rng.choice([
        "What is %s?", "Compute %s.", "Please add these numbers: %s.",
        "Find the sum %s."])
    working = rng.choice([
        "Add step by step: %s.", "We go left to right. %s.",
        "Running total: %s."])
    answer = rng.choice(["The sum is %d.", "%d", "The answer is %d."])
    return (question % " + ".join(map(str, numbers)), working % steps,
            answer % total)


def subtraction(rng):
    a = rng.randint(200, 999)
    b = rng.randint(11, a - 10)
    if rng.choice([True, False]):
        question = "What is %d - %d?" % (a, b)
    else:
        question = "Subtract %d from %d." % (b, a)
    left, steps = a, []
    for part, place in ((b // 100 * 100, "hundreds"), (b % 100 // 10 * 10,
                        "tens"), (b % 10, "ones")):
        if part:
            steps.append("take away the %s: %d - %d = %d" %
                         (place, left, part, left - part))
            left -= part
    return (question,
            "Split %d by place value. %s." % (b, "; ".join(steps)),
            "%d - %d = %d." % (a, b, a - b))


def multiplication(rng):
    a, b = rng.randint(12, 99), rng.randint(3, 29)
    tens, ones = a // 10 * 10, a % 10
    working = ("%d = %d + %d. %d * %d = %d. %d * %d = %d. %d + %d = %d." %
               (a, tens, ones, tens, b, tens * b, ones, b, ones * b,
                tens * b, ones * b, a * b))
    question = rng.choice(["What is %d times %d?", "Calculate %d * %d.",
                           "Multiply %d by %d."])
    answer = rng.choice(["%d * %d = %d." % (a, b, a * b),
                         "The product is %d." % (a * b)])
    return question % (a, b), working, answer


def shopping(rng):
    name = rng.choice(NAMES)
    kinds = rng.randint(2, 3)
    items = [plural for _, plural in rng.sample(ITEMS, kinds)]
    counts = [rng.randint(2, 12) for _ in items]
    prices = [rng.randint(2, 15) for _ in items]
    costs = [count * price for count, price in zip(counts, prices)]
    total = sum(costs)
    paid = (total // 50 + 1) * 50
    question = "%s buys %s. " % (name, " and ".join(
        "%d %s at %d dollars each" % line
        for line in zip(counts, items, prices)))
    working = "%s Total: %s." % (" ".join(
        "%s cost %d * %d = %d." % (item.capitalize(), count, price, cost)
        for item, count, price, cost in zip(items, counts, prices, costs)),
        running_sum(costs)[0])
    if rng.random() < .5:
        return (question + "How much does %s pay in total?" % name, working,
                "%s pays %d dollars." % (name, total))
    return (question + "%s pays with %d dollars. How much change is there?" %
            (name, paid),
            working + " Change: %d - %d = %d." % (paid, total, paid - total),
            "The change is %d dollars." % (paid - total))


def speed(rng):
    v = rng.choice([20, 30, 40, 45, 50, 60, 70, 80, 90, 100])
    hours = rng.randint(2, 9)
    km = v * hours
    vehicle = rng.choice(["train", "car", "bus", "cyclist", "boat", "truck"])
    asked = rng.randint(0, 2)
    here, there = rng.sample(CITIES, 2)
    if asked == 0:
        return ("A %s travels at %d km per hour for %d hours. How far does "
                "it go?" % (vehicle, v, hours),
                "Distance is speed times time: %d * %d = %d." %
                (v, hours, km),
                "It travels %d km." % km)
    if asked == 1:
        return ("A %s goes %d km from %s to %s in %d hours. What is its "
                "average speed?" % (vehicle, km, here, there, hours),
                "Speed is distance over time: %d / %d = %d." % (km, hours, v),
                "The average speed is %d km per hour." % v)
    return ("How many hours does a %s need for %d km at %d km per hour?" %
            (vehicle, km, v),
            "Time is distance over speed: %d / %d = %d." % (km, v, hours),
            "It needs %d hours." % hours)


def age(rng):
    a, b = rng.sample(NAMES, 2)
    years, older = rng.randint(5, 40), rng.randint(2, 20)
    later = rng.randint(2, 15)
    return ("%s is %d years old. %s is %d years older than %s. How old will "
            "%s be in %d years?" % (a, years, b, older, a, b, later),
            "%s is %d + %d = %d now. In %d years: %d + %d = %d." %
            (b, years, older, years + older, later, years + older, later,
             years + older + later),
            "%s will be %d years old." % (b, years + older + later))


def ordering(rng):
    people = rng.sample(NAMES, rng.randint(3, 5))
    more, most, least = rng.choice(COMPARISONS)
    facts = ["%s is %s than %s." % (a, more, b)
             for a, b in zip(people, people[1:])]
    rng.shuffle(facts)
    chain = "Chain the facts: %s." % " > ".join(people)
    if rng.random() < .5:
        wanted, end, who = most, "first", people[0]
    else:
        wanted, end, who = least, "last", people[-1]
    return ("%s Who is the %s?" % (" ".join(facts), wanted),
            "%s The %s in the chain is %s." % (chain, end, who),
            "%s is the %s." % (who, wanted))


def sequence(rng):
    kind = rng.randint(0, 2)
    if kind == 0:
        first, step = rng.randint(1, 30), rng.randint(2, 15)
        s = [first + step * i for i in range(6)]
        working = ("Differences: %s. The step is %d. Next: %d + %d = %d." %
                   (", ".join("%d - %d = %d" % (s[i + 1], s[i], step)
                              for i in range(3)), step, s[4], step, s[5]))
    elif kind == 1:
        first, factor = rng.randint(1, 6), rng.randint(2, 4)
        s = [first * factor ** i for i in range(6)]
        working = ("Ratios: %s. Each term is multiplied by %d. Next: "
                   "%d * %d = %d." %
                   (", ".join("%d / %d = %d" % (s[i + 1], s[i], factor)
                              for i in range(3)), factor, s[4], factor, s[5]))
    else:
        s = [rng.randint(1, 9), rng.randint(1, 9)]
        while len(s) < 6:
            s.append(s[-1] + s[-2])
        working = ("Each term is the sum of the two before: %d + %d = %d, "
                   "%d + %d = %d. Next: %d + %d = %d." %
                   (*s[0:3], *s[1:4], *s[3:6]))
    question = rng.choice([
        "What comes next: %s?", "Find the next term of the sequence %s.",
        "Continue the pattern %s."])
    answer = rng.choice(["The next term is %d.", "%d"])
    return question % ", ".join(map(str, s[:5])), working, answer % s[5]


def percentage(rng):
    percent = rng.choice([5, 10, 15, 20, 25, 30, 40, 50, 75])
    base = rng.choice([20, 40, 60, 80, 100, 120, 160, 200, 240, 300, 400, 500])
    part = base * percent / 100
    item = rng.choice(["coat", "lamp", "desk", "phone", "bike", "chair",
                       "radio", "clock"])
    if rng.random() < .5:
        return ("What is %d%% of %d?" % (percent, base),
                "%d%% means %d / 100. %d * %d = %d. %d / 100 = %g." %
                (percent, percent, base, percent, base * percent,
                 base * percent, part),
                "%d%% of %d is %g." % (percent, base, part))
    return ("A %s costs %d dollars and is reduced by %d%%. What is the new "
            "price?" % (item, base, percent),
            "Discount: %d * %d / 100 = %g. New price: %d - %g = %g." %
            (base, percent, part, base, part, base - part),
            "The new price is %g dollars." % (base - part))


def common_divisor(rng):
    factor = rng.randint(2, 15)
    a, b = factor * rng.randint(2, 20), factor * rng.randint(2, 20)
    x, y, steps = max(a, b), min(a, b), []
    while y:
        steps.append("%d mod %d = %d" % (x, y, x % y))
        x, y = y, x % y
    question = rng.choice([
        "What is the greatest common divisor of %d and %d?",
        "Find gcd(%d, %d)."])
    return (question % (a, b),
            "Use the Euclidean algorithm. %s. The last nonzero value is %d." %
            (", ".join(steps), x),
            "The gcd is %d." % x)


def equation(rng):
    a, x, b = rng.randint(2, 12), rng.randint(-9, 20), rng.randint(1, 40)
    name = rng.choice("xyzn")
    if rng.choice([True, False]):
        sign, inverse, action, c = "+", "-", "Subtract", a * x + b
    else:
        sign, inverse, action, c = "-", "+", "Add", a * x - b
    return ("Solve for %s: %d%s %s %d = %d." % (name, a, name, sign, b, c),
            "%s %d on both sides: %d%s = %d %s %d = %d. Divide by %d: "
            "%s = %d." % (action, b, a, name, c, inverse, b, a * x, a, name,
                          x),
            "%s = %d" % (name, x))


def letters(rng):
    word = rng.choice(WORDS)
    spelled = "-".join(word)
    asked = rng.randint(0, 2)
    if asked == 0:
        vowels = [char for char in word if char in "aeiou"]
        return ("How many vowels are in the word '%s'?" % word,
                "Spell it: %s. Vowels: %s. That makes %d." %
                (spelled, ", ".join(vowels), len(vowels)),
                "There are %d vowels." % len(vowels))
    if asked == 1:
        return ("How many letters does '%s' have?" % word,
                "Spell it: %s. Count: %d." % (spelled, len(word)),
                "'%s' has %d letters." % (word, len(word)))
    return ("Spell '%s' backwards." % word,
            "Forward: %s. Backward: %s." % (spelled, "-".join(word[::-1])),
            word[::-1])


def sorting(rng):
    if rng.random() < .6:
        numbers = [rng.randint(1, 99) for _ in range(rng.randint(4, 7))]
        order, first, last = "ascending", "smallest", "largest"
        falling = rng.random() < .4
        if falling:
            order, first, last = "descending", "largest", "smallest"
        s = sorted(numbers, reverse=falling)
        return ("Sort these numbers in %s order: %s." %
                (order, ", ".join(map(str, numbers))),
                "The %s is %d, the %s is %d. In between: %s." %
                (first, s[0], last, s[-1], ", ".join(map(str, s[1:-1]))),
                ", ".join(map(str, s)))
    words = rng.sample(WORDS, rng.randint(3, 5))
    s = sorted(words)
    return ("Put these words in alphabetical order: %s." % ", ".join(words),
            "First letters: %s. Sorted: %s." %
            (", ".join(word[0] for word in words),
             ", ".join(word[0] for word in s)),
            ", ".join(s))


def syllogism(rng):
    a, b, c = rng.sample(NONSENSE, 3)
    name = rng.choice(NAMES)
    kind = rng.randint(0, 3)
    if kind == 0:
        return ("All %ss are %ss. All %ss are %ss. Are all %ss %ss?" %
                (a, b, b, c, a, c),
                "Every %s is a %s, and every %s is a %s. So every %s is a "
                "%s." % (a, b, b, c, a, c),
                "Yes, all %ss are %ss." % (a, c))
    if kind == 1:
        return ("All %ss are %ss. %s is a %s. Is %s a %s?" %
                (a, b, name, a, name, b),
                "%s is a %s, and every %s is a %s. So %s is a %s." %
                (name, a, a, b, name, b),
                "Yes, %s is a %s." % (name, b))
    if kind == 2:
        return ("No %ss are %ss. %s is a %s. Can %s be a %s?" %
                (a, b, name, a, name, b),
                "%s is a %s, and no %s is a %s. So %s is not a %s." %
                (name, a, a, b, name, b),
                "No, %s cannot be a %s." % (name, b))
    return ("Some %ss are %ss. All %ss are %ss. Must every %s be a %s?" %
            (a, b, b, c, a, c),
            "Only some %ss are %ss, so only those must be %ss. The other %ss "
            "may not be." % (a, b, c, a),
            "No, not every %s must be a %s." % (a, c))


def weekday(rng):
    today, days = rng.randint(0, 6), rng.randint(2, 40)
    rest = days % 7
    if rng.random() < .6:
        question = "Today is %s. Which day is it in %d days?"
        way, then, target = "forward", "will be", (today + rest) % 7
    else:
        question = "Today is %s. Which day was it %d days ago?"
        way, then, target = "back", "was", (today - rest) % 7
    return (question % (DAYS[today], days),
            "%d mod 7 = %d. Counting %d days %s from %s gives %s." %
            (days, rest, rest, way, DAYS[today], DAYS[target]),
            "It %s %s." % (then, DAYS[target]))


def binary(rng):
    n = rng.randint(5, 120)
    digits = bin(n)[2:]
    if rng.random() < .5:
        left, steps = n, []
        while left:
            steps.append("%d / 2 = %d remainder %d" %
                         (left, left // 2, left % 2))
            left //= 2
        return ("Write %d in binary." % n,
                "Divide by two. %s. Read the remainders from the end: %s." %
                (", ".join(steps), digits),
                "%d in binary is %s." % (n, digits))
    powers = [str(2 ** (len(digits) - 1 - i))
              for i, digit in enumerate(digits) if digit == "1"]
    return ("Convert binary %s to decimal." % digits,
            "The ones stand for %s. %s = %d." %
            (", ".join(powers), " + ".join(powers), n),
            "Binary %s is %d." % (digits, n))


def fractions(rng):
    b, d = rng.randint(2, 9), rng.randint(2, 9)
    a = rng.randint(1, b - 1) if b > 2 else 1
    c = rng.randint(1, d - 1) if d > 2 else 1
    common = math.lcm(b, d)
    left, right = a * (common // b), c * (common // d)
    total = left + right
    divisor = math.gcd(total, common)
    working = ("Common denominator: %d. %d/%d = %d/%d and %d/%d = %d/%d. "
               "Sum: %d/%d." % (common, a, b, left, common, c, d, right,
                                common, total, common))
    reduced = "%d/%d" % (total // divisor, common // divisor)
    if divisor > 1:
        working += " Reduce by %d: %s." % (divisor, reduced)
    return ("Add %d/%d and %d/%d." % (a, b, c, d), working,
            "The result is %s." % reduced)


def giving(rng):
    a, b = rng.sample(NAMES, 2)
    items = rng.choice(ITEMS)[1]
    start, given = rng.randint(20, 80), rng.randint(3, 15)
    lost, found = rng.randint(1, 5), rng.randint(2, 20)
    left = start - given - lost
    return ("%s has %d %s. %s gives %d to %s, loses %d and then finds %d. "
            "How many %s does %s have?" %
            (a, start, items, a, given, b, lost, found, items, a),
            "Start with %d. %d - %d = %d. %d - %d = %d. %d + %d = %d." %
            (start, start, given, start - given, start - given, lost, left,
             left, found, left + found),
            "%s has %d %s." % (a, left + found, items))


def sharing(rng):
    items = rng.choice(ITEMS)[1]
    children, each = rng.randint(3, 12), rng.randint(3, 15)
    left = rng.randint(0, children - 1)
    n = children * each + left
    return ("%d %s are shared equally among %d children. How many does each "
            "get, and how many are left over?" % (n, items, children),
            "%d / %d: %d * %d = %d, and %d - %d = %d." %
            (n, children, children, each, children * each, n,
             children * each, left),
            "Each child gets %d and %d are left over." % (each, left))


def comparison(rng):
    a, b, c, d = (rng.randint(2, 30) for _ in range(4))
    x, y = a * b, c * d
    if x > y:
        sign, answer = ">", "The first is larger."
    elif x < y:
        sign, answer = "<", "The second is larger."
    else:
        sign, answer = "=", "They are equal."
    return ("Which is larger, %d * %d or %d * %d?" % (a, b, c, d),
            "%d * %d = %d. %d * %d = %d. %d %s %d." %
            (a, b, x, c, d, y, x, sign, y), answer)


def clock(rng):
    hour, minute = rng.randint(6, 20), rng.choice(range(0, 60, 5))
    hours, minutes = rng.randint(1, 3), rng.choice(range(5, 60, 5))
    end = (hour + hours) * 60 + minute + minutes
    end = "%02d:%02d" % (end // 60 % 24, end % 60)
    event = rng.choice(["meeting", "film", "lesson", "trip", "concert",
                        "match"])
    working = "Hours: %d + %d = %d. Minutes: %d + %d = %d." % (
        hour, hours, hour + hours, minute, minutes, minute + minutes)
    if minute + minutes >= 60:
        working += " %d minutes is 1 hour and %d minutes." % (
            minute + minutes, minute + minutes - 60)
    return ("A %s starts at %02d:%02d and lasts %d hours and %d minutes. "
            "When does it end?" % (event, hour, minute, hours, minutes),
            "%s End: %s." % (working, end), "It ends at %s." % end)


def rectangle(rng):
    a, b = rng.randint(3, 40), rng.randint(3, 40)
    thing = rng.choice(["garden", "room", "field", "table", "wall"])
    sizes = "A rectangular %s is %d m long and %d m wide. " % (thing, a, b)
    if rng.random() < .5:
        return (sizes + "What is its area?",
                "Area is length times width: %d * %d = %d." % (a, b, a * b),
                "The area is %d square meters." % (a * b))
    return (sizes + "What is its perimeter?",
            "Perimeter is twice the sum: %d + %d = %d, and 2 * %d = %d." %
            (a, b, a + b, a + b, 2 * (a + b)),
            "The perimeter is %d meters." % (2 * (a + b)))


TASKS = [addition, subtraction, multiplication, shopping, speed, age,
         ordering, sequence, percentage, common_divisor, equation, letters,
         sorting, syllogism, weekday, binary, fractions, giving, sharing,
         comparison, clock, rectangle]


def row(rng):
    question, working, answer = rng.choice(TASKS)(rng)
    text = (harmony.system(rng) + harmony.user(question) +
            harmony.analysis(working) + harmony.final(answer))
    if rng.random() < .35:      # a second turn
        question, working, answer = rng.choice(TASKS)(rng)
        text = (text.replace("<|return|>", "<|end|>") +
                harmony.user(question) + harmony.analysis(working) +
                harmony.final(answer))
    return text
