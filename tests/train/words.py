# SPDX-License-Identifier: MIT
"""Words that the generated rows are filled with."""

NAMES = (
    "Ann Bob Carla Dan Eva Finn Grace Hugo Iris Jack Kate Leo Maya Nina Omar "
    "Paul Quinn Rosa Sam Tara Uma Vera Will Xena Yuri Zoe Alice Ben Chloe "
    "David Ella Frank").split()

ITEMS = [
    ("apple", "apples"), ("pear", "pears"), ("book", "books"),
    ("pencil", "pencils"), ("coin", "coins"), ("marble", "marbles"),
    ("stamp", "stamps"), ("cookie", "cookies"), ("ticket", "tickets"),
    ("shell", "shells"), ("card", "cards"), ("candle", "candles"),
    ("button", "buttons"), ("egg", "eggs"), ("lemon", "lemons"),
    ("bottle", "bottles"),
]

CITIES = (
    "Paris London Tokyo Oslo Madrid Rome Berlin Vienna Lisbon Dublin Prague "
    "Cairo Lima Delhi Seoul Boston Chicago Denver Austin Seattle Toronto "
    "Sydney Nairobi Athens Warsaw Helsinki").split()

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

WORDS = (
    "garden river mountain window letter bridge castle harbor island kitchen "
    "lantern machine number orange pepper quiet rocket silver thunder "
    "umbrella velvet winter yellow zebra basket candle dragon engine forest "
    "guitar hammer jacket ladder mirror needle oyster pencil rabbit saddle "
    "ticket valley wallet anchor butter copper desert effort feather granite "
    "horizon insect journey kettle library meadow nectar octopus parade "
    "quarter ribbon shelter temple village whisper").split()

PRODUCTS = ("lamp chair desk radio clock kettle camera printer keyboard "
            "monitor").split()

FILES = ["notes.txt", "todo.txt", "config.ini", "report.md", "main.py",
         "data.csv", "readme.md", "log.txt"]
