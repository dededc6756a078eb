"""Trees of the Stanford Sentiment Treebank: sentences and phrases with labels."""

from __future__ import annotations

import re
from pathlib import Path

from datasets import Dataset

_TREE_TOKEN = re.compile(r"\(|\)|[^\s()]+")


def read_trees(path: str, phrases: bool) -> Dataset:
    """Columns `text`, `label` (0, 1), `group` (the tree's number) and `whole` (a whole sentence).

    Args:
        path: a file with a tree on each line.
        phrases: also every labelled phrase inside them.

    Raises:
        ValueError: a line is no tree.
    """
    texts, labels, groups, wholes = [], [], [], []
    for group, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines()):
        try:
            nodes = _parse_tree(line)
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"{path}, line {group + 1} must be a tree as in (3 (2 a) (3 good film)), and is "
                f"{line[:40]!r}: give other labelled texts as .csv, .tsv, .pos and .neg"
            ) from error
        for node in nodes if phrases else nodes[-1:]:
            label, text = node
            if label != 2:
                texts.append(text)
                labels.append(int(label > 2))
                groups.append(group)
                wholes.append(node is nodes[-1])
    return Dataset.from_dict({"text": texts, "label": labels, "group": groups, "whole": wholes})


def _parse_tree(line: str) -> list[tuple[int, str]]:
    """`(3 (2 a) (3 good film))` -> every labelled node, the whole sentence last.

    Raises:
        ValueError, IndexError: it is no tree.
    """
    nodes: list[tuple[int, str]] = []
    stack: list[tuple[int, list[str]]] = []
    tokens = _TREE_TOKEN.findall(line)
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token == "(":
            stack.append((int(tokens[position + 1]), []))
            position += 1
        elif token == ")":
            label, words = stack.pop()
            if not words:
                raise ValueError("a node without words")
            nodes.append((label, " ".join(words)))
            if stack:
                stack[-1][1].extend(words)
        else:
            stack[-1][1].append({"-LRB-": "(", "-RRB-": ")"}.get(token, token))
        position += 1
    if stack:
        raise ValueError("a node without an end")
    return nodes
