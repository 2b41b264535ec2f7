"""Two hundred names that a sender may give a file, to take its reader in or to get out of the folder (attack 34)."""

from __future__ import annotations

from itertools import product

PATHS = (
    "../{}", "../../{}",
    "../../../../../../{}", "/etc/{}", "//host/share/{}", "./{}", "a/b/../../../{}", "..\\{}",
    "..\\..\\{}",
    "C:\\Windows\\{}", "C:{}", "\\\\host\\share\\{}", "~/{}", "~root/{}", "file:///etc/{}", "{}/", "{}/.",
    "{}/..", "/proc/self/fd/{}", "%2e%2e%2f{}", "..%5c{}", "..\u2215{}", "\uff0e\uff0e\uff0f{}", "{}\0.png", "\0{}",
)  # fmt: skip
SHAPES = (
    "-{}", "--{}",
    "--output={}", "-o {}", ".{}", "..{}", "...{}", "~{}", "{}.", "{}...", "{} ", "{} . . ", " {}", "\t{}",
    "{}\n", "a\r\n{}", "\x1b[2J{}", "\x9b31m{}", "\x1b]52;c;aGk=\x07{}", "\u202e{}",
    "a\u202egnp.{}", "\u2066{}\u2069",
    "\u200b{}", "{}\u200d", "\u2800\u2800{}", "a\u3164\u3164.{}", "\U000e0041{}", "a" * 300 + "{}", "{}" + "b" * 300,
    "\u0416" * 200 + ".{}", "a\u0301\u0302\u0303\u0304\u0305\u0306{}",
    "a.png" + " " * 250 + "{}", "a|b<c>{}", 'a"b*?{}',
    "$(id){}", "`id`{}", "; rm -rf {}", "a&&{}", "#{}", "%s%n{}", "a:b:{}", "\ud800{}", "\ufdd0{}", "{}::$DATA",
)  # fmt: skip
DEVICES = (
    "con", "CON",
    "con.txt", "Prn.tar.gz", "aux", "nul", "NUL .txt", "com1", "COM9.png", "com\u00b9", "lpt1", "LPT9.a.b",
    "conin$", "CONOUT$", "con.", " con", ".con", "-con", "\u200bcon", "x/con", "\u202enul",
)  # fmt: skip
NOTHING = (
    "",
    ".",
    "..",
    "...",
    "/",
    "\\",
    "../",
    "..\\",
    " ",
    "\t",
    "-",
    "--",
    "~",
    "\u200b",
    "\u202e",
    ". .",
    "\u3164",
)
ENDINGS = ("passwd", "x.png.exe")

NAMES = tuple(
    dict.fromkeys(
        [shape.format(ending) for shape, ending in product(PATHS + SHAPES, ENDINGS)]
        + [*DEVICES, *NOTHING]
        + [f"{name}.desktop" for name in ("a", ".a", "-a", "a\u202e", "a ")]
        + [f"a.{'tar.' * count}gz" for count in range(1, 9)]
        + ["." * count + "x" for count in range(2, 9)]
        + [
            f"p\u00e4per{chr(code)}.txt"
            for code in (0, 7, 0x1B, 0x7F, 0x85, 0xAD, 0x61C, 0x2028, 0x2060, 0xFEFF, 0xE0001)
        ]
    )
)
