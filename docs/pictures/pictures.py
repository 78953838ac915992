#!/usr/bin/env python3
"""Makes the pictures of the screen: overview.svg and message.svg in this folder.

    python3 docs/pictures/pictures.py target/release/tidings

It starts `tidings demo` in a private tmux server, waits until the screen shows it at work, presses keys, and draws what
stands on the terminal then. It needs Python 3 and tmux, and nothing else. With `--draw` it reads what
`tmux capture-pane -e -p` wrote from standard input and writes one picture to standard output.
"""

import html
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unicodedata

COLUMNS, ROWS = 120, 36
# Of a cell, in the picture's units.
WIDE, HIGH, SIZE = 8.4, 18, 14
BACKGROUND, FOREGROUND = "#16181d", "#d8dee4"
COLOURS = {
    30: "#3b4048", 31: "#ff6b6b", 32: "#7bd88f", 33: "#f2c55c", 34: "#6ca8f7", 35: "#d49bf0", 36: "#5ecfd6", 37: "#d8dee4",
    90: "#7d8590", 91: "#ff8f8f", 92: "#9be8ac", 93: "#f7d98b", 94: "#93c0ff", 95: "#e3bdf7", 96: "#8ee3e8", 97: "#ffffff",
}
PLAIN = (None, False, False, False)
DEADLINE = 120


def width(character):
    """Columns of a character in a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def styled(style, codes):
    """A style after a sequence of SGR codes: colour, bold, dim, reversed."""
    colour, bold, dim, turned = style
    codes = iter(codes)
    for code in codes:
        if code in (38, 48):
            # A colour by its number among 256, or by its red, green and blue: what follows are no codes of their own.
            if next(codes, None) == 5:
                number = next(codes, 7)
                if code == 38:
                    colour = 30 + number if number < 8 else 82 + number if number < 16 else None
            else:
                for _ in range(3):
                    next(codes, None)
        elif code == 0:
            colour, bold, dim, turned = PLAIN
        elif code == 1:
            bold = True
        elif code == 2:
            dim = True
        elif code == 7:
            turned = True
        elif code == 22:
            bold = dim = False
        elif code == 27:
            turned = False
        elif code == 39:
            colour = None
        elif code in COLOURS:
            colour = code
    return colour, bold, dim, turned


def cells(line):
    """The characters of a captured line, each with its column and its style."""
    style, column, place, found = PLAIN, 0, 0, []
    while place < len(line):
        if line.startswith("\x1b[", place):
            end = place + 2
            while end < len(line) and not line[end].isalpha():
                end += 1
            if line[end:end + 1] == "m":
                style = styled(style, [int(code or 0) for code in line[place + 2:end].split(";")])
            place = end + 1
            continue
        if line[place] not in "\x0e\x0f\x1b":
            found.append((column, line[place], style))
            column += width(line[place])
        place += 1
    return found


def runs(line):
    """Characters that stand beside one another and look alike. Wide ones and narrow ones never share a run, and none has
    two blanks in a row, which some browsers make one of: each run is drawn from its own column on and over its own
    columns, whatever font draws it."""
    made = []
    for column, character, style in cells(line):
        wide = max(width(character), 1)
        if made and not (character == " " and made[-1][1].endswith(" ") and not style[3]):
            start, text, style_before, wide_before, end = made[-1]
            if (style, column) == (style_before, end) and (wide == wide_before or width(character) == 0):
                made[-1] = (start, text + character, style, wide_before, end + width(character))
                continue
        made.append((column, character, style, wide, column + width(character)))
    return [(start, end, text, style) for start, text, style, _, end in made]


def fill(style, is_text):
    colour, _, _, turned = style
    front = COLOURS.get(colour, FOREGROUND)
    if turned:
        return BACKGROUND if is_text else front
    return front if is_text else None


def picture(captured):
    lines = captured.rstrip("\n").split("\n")[:ROWS]
    wide, high = COLUMNS * WIDE + 16, len(lines) * HIGH + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}" '
        f'font-family="Menlo,Consolas,\'DejaVu Sans Mono\',\'Noto Sans Mono CJK SC\',monospace" font-size="{SIZE}" '
        f'xml:space="preserve">',
        "<style>text{white-space:pre}.b{font-weight:bold}.d{opacity:.55}</style>",
        f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>',
    ]
    for row, line in enumerate(lines):
        for start, end, text, style in runs(line):
            x, columns = 8 + start * WIDE, end - start
            back = fill(style, False)
            if back:
                parts.append(
                    f'<rect x="{x:g}" y="{8 + row * HIGH:g}" width="{columns * WIDE:g}" height="{HIGH}" fill="{back}"/>')
            if not text.strip():
                continue
            # Blanks at the ends are of no use to a run that says where it begins.
            begin = len(text) - len(text.lstrip())
            x += begin * WIDE
            text = text.strip()
            columns = sum(width(character) for character in text)
            kind = " ".join(name for name, on in (("b", style[1]), ("d", style[2])) if on)
            kind = f' class="{kind}"' if kind else ""
            parts.append(
                f'<text x="{x:g}" y="{8 + row * HIGH + 13.5:g}" textLength="{columns * WIDE:g}" '
                f'lengthAdjust="spacingAndGlyphs" fill="{fill(style, True)}"{kind}>{html.escape(text, quote=False)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


class Terminal:
    """A demo in a terminal of its own."""

    def __init__(self, program, folder):
        self.socket = f"{folder}/tmux.sock"
        # A colour for what wants a look, whatever the terminal around this one is.
        command = f"cd '{folder}' && env -u NO_COLOR TIDINGS_THEME=dark LC_ALL=C.UTF-8 '{program}' demo --messages 200000"
        self.tell("-f", "/dev/null", "-u", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), command)

    def tell(self, *arguments):
        command = ["tmux", "-S", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def until(self, met):
        end = time.monotonic() + DEADLINE
        while not met(self.tell("capture-pane", "-p")):
            if time.monotonic() > end:
                raise SystemExit("error: not seen in time:\n" + self.tell("capture-pane", "-p"))
            time.sleep(0.05)

    def press(self, *keys):
        for key in keys:
            self.tell("send-keys", key)

    def picture(self):
        return picture(self.tell("capture-pane", "-e", "-p"))


def main():
    if sys.argv[1:] == ["--draw"]:
        sys.stdout.write(picture(sys.stdin.read()))
        return
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    program, here = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="tidings-pictures-") as folder:
        terminal = Terminal(program, folder)
        try:
            # At work for a while: the first columns of what left stand.
            terminal.until(lambda text: re.search(r"peak \d[\d,]*", text) and text.count(" sent") > 3)
            terminal.until(lambda text: re.search(r"[@#*%+=]{3}", text))
            (here / "overview.svg").write_text(terminal.picture())
            terminal.press("2")
            terminal.until(lambda text: text.count("msg_") > 10)
            terminal.press("/", *"sent", "Enter")
            terminal.until(lambda text: "state:sent" in text and text.count("msg_") > 10)
            terminal.press("j", "j", "Enter")
            terminal.until(lambda text: "What happened" in text)
            (here / "message.svg").write_text(terminal.picture())
        finally:
            terminal.tell("kill-server")


main()
