# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Draws a benchlib.Chart as an SVG file that needs nothing else: lines over x, or horizontal bars."""
import html
import math
import textwrap

from benchlib import significant

WIDTH = 760
PLOT_HEIGHT = 300
FONT, TITLE_FONT = 13, 16
LETTER = 0.6  # width of a letter in font sizes, of a wide sans-serif font
PAD, GAP = 16, 8
BAR, BAR_GAP = 18, 10
FEW = 6
INK, GREY, LIGHT = "#1a1a1a", "#595959", "#dcdcdc"

# Colours that colour-blind people tell apart, in an order in which neighbours differ in lightness too.
LINES = (("#0072b2", ""), ("#d55e00", "9 4"), ("#009e73", "2 3"), ("#1a1a1a", "9 3 2 3"), ("#b0568a", "16 4"), ("#8a6d00", "5 2"))
FILLS = ("#0072b2", "#f0b840", "#00664b", "#9fd3f0", "#8c3d00", "#d9a0c0")


def width_of(text, font=FONT):
    return len(text) * font * LETTER


def short(value):
    """A tick: 1, 10, 1k, 20M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return "%.6g%s" % (value / size, unit)
    return "%.6g" % value


class Axis:
    """From values to pixels, with ticks. A linear one includes 0 when `zero`, and else has a tick at each of few values;
    `start` is the pixel of its lower end."""

    def __init__(self, values, log, zero, start, end):
        if log and min(values) <= 0:
            raise ValueError("no place for %g on a logarithmic axis" % min(values))
        self.log, self.start, self.end = log, start, end
        low, high = min(values), max(values)
        if log:
            self.ticks = self.log_ticks(low, high)
        else:
            low, high = (min(low, 0), max(high, 0)) if zero else (low, high)
            few = not zero and 1 < len(set(values)) <= FEW
            self.ticks = sorted(set(values)) if few else self.linear_ticks(low, high if high > low else low + 1)
        self.low, self.high = (low, high) if not (log or zero) and high > low else (self.ticks[0], self.ticks[-1])

    @staticmethod
    def log_ticks(low, high):
        first = math.floor(math.log10(low) + 1e-9)
        last = max(math.ceil(math.log10(high) - 1e-9), first + 1)
        steps = (1,) if last - first > 2 else (1, 2, 5)
        ticks = [step * 10.0 ** power for power in range(first, last + 1) for step in steps]
        below = [tick for tick in ticks if tick <= low * (1 + 1e-9)]
        above = [tick for tick in ticks if tick >= high * (1 - 1e-9)]
        found = [tick for tick in ticks if below[-1] <= tick <= above[0]]
        return found if len(found) > 1 else [found[0], found[0] * 10]

    @staticmethod
    def linear_ticks(low, high):
        rough = (high - low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return [step * number for number in range(first, last + 1)]

    def at(self, value):
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def shown(self):
        """The ticks within the axis, with their texts."""
        slack = 1e-9 * abs(self.high - self.low)
        return [(self.at(tick), short(tick)) for tick in self.ticks if self.low - slack <= tick <= self.high + slack]


class Drawing:
    def __init__(self, title):
        self.parts = []
        lines = textwrap.wrap(title, int((WIDTH - 2 * PAD) / (TITLE_FONT * LETTER))) or [""]
        for number, line in enumerate(lines):
            self.text(PAD, PAD + TITLE_FONT * (1 + 1.25 * number), line, font=TITLE_FONT, weight="bold")
        self.top = PAD + TITLE_FONT * 1.25 * len(lines) + PAD  # of what comes below the title
        self.title = title

    def add(self, element, **attributes):
        content = attributes.pop("content", None)
        words = "".join(' %s="%s"' % (name.replace("_", "-"), html.escape(value if isinstance(value, str) else "%.6g" % value))
                        for name, value in attributes.items() if value != "")
        self.parts.append("<%s%s/>" % (element, words) if content is None else
                          "<%s%s>%s</%s>" % (element, words, html.escape(content, quote=False), element))

    def text(self, x, y, text, font=FONT, fill=INK, anchor="", weight=""):
        self.add("text", x=x, y=y, font_size=font, fill=fill, text_anchor=anchor, font_weight=weight, content=text)

    def line(self, x1, y1, x2, y2, stroke):
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke)

    def svg(self, height):
        head = ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" font-family="sans-serif">'
                % (WIDTH, height, WIDTH, height))
        title = "<title>%s</title>" % html.escape(self.title, quote=False)
        page = '<rect width="%d" height="%d" fill="#ffffff"/>' % (WIDTH, height)
        return "\n".join([head, title, page, *self.parts, "</svg>", ""])


def spread(wanted, gap, low, high):
    """Places as near as possible to the wanted ones, in their order, `gap` apart and not beyond low and high."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    bound = low
    for i in order:
        places[i] = max(wanted[i], bound)
        bound = places[i] + gap
    bound = high
    for i in reversed(order):
        places[i] = min(places[i], bound)
        bound = places[i] - gap
    return places


def draw_grid(drawing, x, y):
    reach = -1.0
    for at, text in x.shown():
        drawing.line(at, y.start, at, y.start + 5, GREY)
        if at - width_of(text) / 2 > reach:  # texts that would run into the last one are left out
            drawing.text(at, y.start + 20, text, fill=GREY, anchor="middle")
            reach = at + width_of(text) / 2 + GAP
    for at, text in y.shown():
        drawing.line(x.start, at, x.end, at, LIGHT)
        drawing.text(x.start - GAP, at + FONT / 3, text, fill=GREY, anchor="end")
    drawing.line(x.start, y.start, x.end, y.start, GREY)


def draw_lines(chart):
    drawing = Drawing(chart.title)
    labels = max(width_of(name) for name in chart.series)
    points = [point for line in chart.series.values() for point in line]
    top = drawing.top + FONT + PAD
    y = Axis([value for _, value in points], chart.log_y, True, top + PLOT_HEIGHT, top)
    left = PAD + max(width_of(text) for _, text in y.shown()) + GAP
    x = Axis([value for value, _ in points], chart.log_x, False, left, WIDTH - PAD - labels - 2 * GAP)
    drawing.text(PAD, drawing.top + FONT, chart.y_label, fill=GREY)
    draw_grid(drawing, x, y)
    drawing.text((x.start + x.end) / 2, y.start + 44, chart.x_label, fill=GREY, anchor="middle")
    places = spread([y.at(sorted(line)[-1][1]) for line in chart.series.values()], FONT + 4, top, y.start)
    for number, (name, line) in enumerate(chart.series.items()):
        colour, dashes = LINES[number % len(LINES)]
        line = [(x.at(a), y.at(b)) for a, b in sorted(line)]
        drawing.add("polyline", points=" ".join("%.1f,%.1f" % point for point in line), fill="none", stroke=colour,
                    stroke_width=2.5, stroke_dasharray=dashes, stroke_linejoin="round")
        for a, b in line:
            drawing.add("circle", cx=a, cy=b, r=3.5, fill=colour)
        if line[-1][0] < x.end - 1 or abs(places[number] - line[-1][1]) > 3:  # what leads from the line's end to its name
            drawing.line(line[-1][0] + 5, line[-1][1], x.end + GAP, places[number], LIGHT)
        drawing.text(x.end + GAP + 4, places[number] + FONT / 3, name, fill=colour, weight="bold")
    return drawing.svg(y.start + 44 + PAD)


def draw_legend(drawing, names):
    """Swatches in a row, in more rows when one is too short; the names are in the order of the bars."""
    x, y = PAD, drawing.top
    for number, name in enumerate(names):
        wide = 14 + GAP + width_of(name)
        if x > PAD and x + wide > WIDTH - PAD:
            x, y = PAD, y + FONT + GAP
        drawing.add("rect", x=x, y=y, width=14, height=14, fill=FILLS[number % len(FILLS)], stroke=INK, stroke_width=0.5)
        drawing.text(x + 14 + GAP, y + 12, name)
        x += wide + 2 * PAD
    drawing.top = y + FONT + PAD


def draw_bars(chart):
    drawing = Drawing(chart.title)
    if len(chart.series) > 1:
        draw_legend(drawing, chart.series)
    labels = list(dict.fromkeys(str(label) for bars in chart.series.values() for label, _ in bars))
    values = {(name, str(label)): value for name, bars in chart.series.items() for label, value in bars}
    left = PAD + max(width_of(label) for label in labels) + GAP
    room = GAP + max(width_of(significant(value)) for value in values.values())
    spanned = list(values.values())
    if chart.log_y:
        spanned.append(min(spanned) / 2)  # so that the shortest bar is one
    x = Axis(spanned, chart.log_y, True, left, WIDTH - PAD - room)
    base = x.start if chart.log_y else x.at(0)
    if chart.x_label:
        drawing.text(PAD, drawing.top + FONT, chart.x_label, fill=GREY)
        drawing.top += FONT + GAP
    bars, y = [], drawing.top + BAR_GAP / 2
    for label in labels:
        group = [(number, values[name, label]) for number, name in enumerate(chart.series) if (name, label) in values]
        bars.append((label, y, group))
        y += BAR * len(group) + BAR_GAP
    bottom = y
    for at, text in x.shown():
        drawing.line(at, drawing.top, at, bottom, LIGHT)
        drawing.text(at, bottom + FONT + 4, text, fill=GREY, anchor="middle")
    for label, y, group in bars:
        drawing.text(left - GAP, y + BAR * len(group) / 2 + FONT / 3, label, anchor="end")
        for place, (number, value) in enumerate(group):
            top, end = y + BAR * place, x.at(value)
            drawing.add("rect", x=min(base, end), y=top + 1, width=max(abs(end - base), 1), height=BAR - 2,
                        fill=FILLS[number % len(FILLS)])
            drawing.text(max(base, end) + 5, top + BAR / 2 + FONT / 3, significant(value))
    drawing.line(base, drawing.top, base, bottom, GREY)
    drawing.text((x.start + x.end) / 2, bottom + 2 * FONT + 14, chart.y_label, fill=GREY, anchor="middle")
    return drawing.svg(bottom + 2 * FONT + 14 + PAD)


def draw(chart):
    """The text of the SVG file."""
    if not any(chart.series.values()):
        raise ValueError("nothing to draw")
    return (draw_bars if chart.bars else draw_lines)(chart)
