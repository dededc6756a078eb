"""Texts that tokenizers get wrong: what a fast library is compared with its reference on."""

from __future__ import annotations

from typing import Any

_UGLY = (
    'It was long, but it wasn\'t bad: 8/10 (or 9.5)!<br /><br />"Ever-lasting" -- $1,000.',
    "",
    " ",
    "\t\n\r",
    "a",
    "A\tb\nc\r\nd\r e  f   ",
    "unaffable UNAFFABLE Unaffable unaffableunaffable",
    # accents: composed, decomposed, several on one letter, on nothing, in the wrong order
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u00d8re \u0141\u00f3d\u017a gar\u00e7on ma\u00f1ana",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m man\u0303ana",
    "z\u0335\u0321\u0301\u0300a\u0323\u0302l\u0328go \u0301\u0300 x\u0301\u0323y\u0323\u0301",
    "Vi\u1ec7t Nam \u1ea4n \u0110\u1ed9 \u1e9e stra\u00dfe STRASSE",
    # letters whose case is a question of language or of place
    "\u0130stanbul I\u0307stanbul \u0131s\u0131k ISPARTA i\u0307 \u0130\u0130",
    "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 \u03bf\u03b4\u03cc\u03c2 \u03a3 "
    "\u03a3\u03a3 \u0391\u03a3. \u0391\u03a3\u0391 \u03c3\u03c2",
    "\u01c4\u01c5\u01c6 \u01f0 \u1f88\u1f80 \ufb03 \ufb01x \u2126 \u212a \u212b \u017f",
    # widths, fractions, powers, letterlike signs
    "\uff21\uff22\uff23 \uff11\uff12\uff13 \uff01\uff1f \u00bd \u00b2 \u2460 \u2122 \u33a5 \u3392",
    # Chinese, Japanese, Korean (both forms), and characters of the planes above
    "\u6211\u559c\u6b22\u8fd9\u90e8\u7535\u5f71\u3002abc\u4e2d\u6587def",
    "\u3053\u306e\u6620\u753b\u304c\u3059\u304d\u3067\u3059 \u30ab\u3099 \uff76\uff9e "
    "\u30ac \u3400\u9fff\uf900",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8 \uac01\u11a8",
    "\U00020000\U0002a6d6 \U0001d400\U0001d401 \U00010400\U00010428 \U0001f600\U0001f44d\U0001f3fd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \u2764\ufe0f "
    "\U0001f1e9\U0001f1ea 1\ufe0f\u20e3",
    # other scripts, from right to left, joined and stacked
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0650\u0633\u0652\u0645\u0650 \u0640\u0640 "
    "\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd \u200f\u200eabc\u202edcba\u202c",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u094d\u200d\u0937 \u0e2a\u0e27\u0e31\u0e2a"
    "\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a \u1780\u17d2\u1798 \u0f40\u0fb5",
    # what cannot be seen: controls, zero width, soft hyphens, marks of order, private use
    "a\x00b\x01c\x07d\x08e\x0bf\x0cg\x1bh\x1ci\x1dj\x1ek\x1fl\x7fm\x80n\x85o\x9fp",
    "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\u034fh\u061ci\u180ej\u115fk\u3164l",
    "\ufeffstart \ufff9a\ufffab\ufffbc \ufffc \ufffd \ue000 \U000f0000 \U000e0041\U000e007f",
    "a\ufffeb\uffffc\U0001ffffd\u0378e\u2fe0f\U0003fffd",
    # white space of every kind, alone and between words
    "a\u00a0b\u1680c\u2000d\u2001e\u2002f\u2003g\u2004h\u2005i\u2006j\u2007k\u2008l\u2009m\u200an",
    "a\u2028b\u2029c\u202fd\u205fe\u3000f \u00a0 \u3000\n\u2028",
    # punctuation of every kind, and what only looks like it
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "\u00a1\u00a7\u00ab\u00b6\u00b7\u00bb\u00bf\u2010\u2013\u2014\u2018\u2019\u201c\u201d\u2026"
    "\u2030\u203d\u3001\u3002\u300c\u300d\u30fb\u055a\u05be\u0964\u1361\u2e3a",
    "\u00a2\u00a3\u20ac\u20bf \u00b1\u00d7\u00f7\u2260\u221e \u00a9\u00ae\u00b0 \u2190\u25a0\u2605",
    "don't can't I'll we've they're it's 'quoted' o''clock e-mail@example.com http://a.b/c?d=e#f",
    "0 00 007 1,234,567.89 1e-10 0x1F 3.14159 -42 +7 \u0661\u0662\u0663 \u096a\u096b",
    # words that are too long, of one byte and of several, and those that are just short enough
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101 + " " + "ab" * 4000,
    "\u00e9" * 100 + " " + "e\u0301" * 60 + " " + "\u6211" * 300 + " " + "\U0001f600" * 120,
    "-" * 250 + " ##ing ##s # ## ##",
    " ".join(["word"] * 700),
)

_MOST_ADDED = 64
"""Added tokens that are tried; models of language have thousands."""


def ugly_texts(tokenizer: Any) -> list[str]:
    """The texts, and some with a tokenizer's own special and added tokens within them.

    Args:
        tokenizer: a fast one of transformers.
    """
    texts = list(_UGLY)
    added = [
        token.content for token in tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    ]
    for token in added[:64]:
        texts += [
            token,
            f"a{token}b {token} {token}{token}, {token.lower()} {token.upper()}",
            f"\u00e9{token}\u6211  {token}  x {token}\t{token}\n",
            f"{token[:-1]} {token[1:]} {token[:1]} {token[1:]}",
        ]
    texts.append(" ".join(texts))
    return texts
