# SPDX-License-Identifier: Apache-2.0
"""Bugs on purpose: a copy of the tree that has all of a list in it, each of which can be switched on.

usage: mutate.py LIST HEADER COPY

    NAME WORD...                        # what the words mean is the stage's matter
        FILE FUNCTION: CODE => BUG      # one line for each place

CODE stands once in that function (or macro), whatever its spaces and comments: an expression, or statements where it ends
in a semicolon. In the copy it is CODE still, but BUG where MUTANT(NAME) is true, which HEADER defines. Where CODE alone would
be found more than once, [[ and ]] stand around it and what is beside it is given as well.
"""
import dataclasses
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

TOKEN = re.compile(r"""
    (?P<space>(?:\s|\\\n|/\*.*?\*/|//[^\n]*)+) |
    (?P<token>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \w+ | ->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]= | \S)
""", re.X | re.S)


class ListError(Exception):
    pass


@dataclasses.dataclass
class Edit:
    mutant: str
    file: str
    function: str
    code: str
    bug: str

    def tokens(self):
        return [t for t, _, _ in tokens(re.sub(r"\[\[|\]\]", " ", self.code))]

    def marked(self):
        """Where among its tokens the code begins that changes, and how many it has."""
        if "[[" not in self.code:
            return 0, len(self.tokens())
        before, inside, _ = re.split(r"\[\[|\]\]", self.code)
        return len(tokens(before)), len(tokens(inside))

    def is_statement(self):
        return self.code.endswith(";") or ";]]" in self.code

    def __str__(self):
        return f"{self.mutant}: {self.file} {self.function}: {self.code}"


@dataclasses.dataclass
class Mutants:
    rows: list = dataclasses.field(default_factory=list)  # (mutant, word...); one or more a mutant
    edits: list = dataclasses.field(default_factory=list)


def read(text):
    out = Mutants()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            match = re.fullmatch(r"\s+(\S+) (\w+): (.+?) => (.+)", line)
            if not match or not out.rows:
                raise ListError(f"line {number} wants FILE FUNCTION: CODE => BUG below a mutant: {line.strip()}")
            out.edits.append(Edit(out.rows[-1][0], *match.groups()))
        else:
            out.rows.append(tuple(line.split("#")[0].split()))
    without = {row[0] for row in out.rows} - {edit.mutant for edit in out.edits}
    if without:
        raise ListError(f"says no place: {', '.join(sorted(without))}")
    return out


def tokens(text, at=0, end=None):
    """[(token, begin, end)], without spaces and comments."""
    return [(m["token"], m.start(), m.end()) for m in TOKEN.finditer(text, at, len(text) if end is None else end)
            if m["token"]]


def extent(text, edit):
    """Begin and end of the function, or macro, that the edit names."""
    for head in re.finditer(rf"^(#define )?(?:[a-zA-Z_][^\n;=]*)?\b{edit.function}\(", text, re.M):
        if head[1]:
            return head.start(), re.compile(r"[^\\]\n").search(text, head.end()).end()
        body = re.compile(r"[{;]").search(text, head.end())
        if body and body[0] == "{":
            return head.start(), text.index("\n}", body.end())
    raise ListError(f"{edit}: there is no such function")


OPERATORS = set("+ - * / % & | ^ << >> < > <= >= == != && || ?".split())
BEFORE = set("( [ { , ; ? : = return && || += -= *= /= |= &=".split())
BEHIND = set(") ] } , ; ? : && ||".split())


def is_whole(there, first, count):
    """Whether these tokens are an operand: nothing beside them binds to a part of them."""
    depth, operators = 0, False
    for token, _, _ in there[first:first + count]:
        depth += (token in "([{") - (token in ")]}")
        operators |= depth == 0 and token in OPERATORS
    return not operators or (there[first - 1][0] in BEFORE and there[first + count][0] in BEHIND)


def place(text, edit):
    """Where its code begins and ends."""
    begin, end = extent(text, edit)
    there, wanted = tokens(text, begin, end), edit.tokens()
    found = [i for i in range(len(there) - len(wanted) + 1) if [t for t, _, _ in there[i:i + len(wanted)]] == wanted]
    if len(found) != 1:
        raise ListError(f"{edit}: stands there {len(found)} times, and not once")
    first, count = edit.marked()
    first += found[0]
    if not edit.is_statement() and not is_whole(there, first, count):
        raise ListError(f"{edit}: is a part of a longer expression, and would be another one in brackets")
    return there[first][1], there[first + count - 1][2]


def mutated(text, edits):
    """The text with all of these bugs in it; none may lie in another."""
    places = sorted((*place(text, edit), edit) for edit in edits)
    for (_, end, one), (begin, _, other) in zip(places, places[1:]):
        if begin < end:
            raise ListError(f"{other}: overlaps {one.mutant}")
    for begin, end, edit in reversed(places):
        code = text[begin:end]
        if edit.is_statement():
            code = f"if (MUTANT({edit.mutant})) {{ {edit.bug} }} else {{ {code} }}"
        else:
            code = f"(MUTANT({edit.mutant}) ? ({edit.bug}) : ({code}))"
        text = text[:begin] + code + text[end:]
    return text


def write(path, text):
    """Only where it differs, so that nothing is compiled again for no reason."""
    if path.is_symlink():
        path.unlink()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def link(path, original):
    if path.is_symlink() and os.readlink(path) == str(original):
        return
    path.unlink(missing_ok=True)
    path.symlink_to(original)


def files_of(root):
    """Paths from the root on, without what is built and what is hidden."""
    for folder, folders, files in os.walk(root):
        here = pathlib.Path(folder).relative_to(root)
        folders[:] = [f for f in folders if not f.startswith(".") and not (here == pathlib.Path() and f.startswith("build"))]
        yield from (here / name for name in files)


def copy_tree(root, out, header, edits):
    """Every file of the tree is a link to the original, but those with a mutant."""
    by_file = {}
    for edit in edits:
        by_file.setdefault(pathlib.Path(edit.file), []).append(edit)
    paths = set(files_of(root))
    if by_file.keys() - paths:
        raise ListError(f"there is no file {', '.join(map(str, sorted(by_file.keys() - paths)))}")
    for path in paths:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        if path not in by_file:
            link(out / path, root / path)
            continue
        text = mutated((root / path).read_text(encoding="utf-8"), by_file[path])
        write(out / path, f'#include "{header}"\n#line 1 "{path}"\n{text}')
    for gone in set(files_of(out)) - paths:
        (out / gone).unlink()


def main(path, header, copy):
    try:
        copy_tree(ROOT, pathlib.Path(copy), header, read(pathlib.Path(path).read_text(encoding="utf-8")).edits)
    except ListError as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
