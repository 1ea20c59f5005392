"""Turns YAML text into plain data and the position of every key and value. The only importer of ruamel.yaml.

Owns YAML itself: syntax, limits, duplicate keys, aliases, merge keys. Never knows what a key means. Data are dict, list,
str, int, float, bool and None; every key is a str; a date stays the text that was written. Aliases share one object, so an
alias bomb costs nothing until it is counted and refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from homunculus.config.scalars import Unwritable, joined, plain_value
from homunculus.config.words import Path, did_you_mean, kind, masked, render, shown
from homunculus.errors import ConfigError, ConfigErrors, Where

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 40
MAX_ALIASED = 200_000

Mark = tuple[int, int]  # 1-based line and column


class Marks(NamedTuple):
    """Where one entry of a container stands: its key (the value itself in a list) and its value."""

    key: Mark
    value: Mark


@dataclass(frozen=True, slots=True)
class Source:
    """One file as read: its data, how to find where something stands, and the faults that did not keep it from being read.

    `find` returns the place of an entry, or of the last one on the way that was written."""

    file: str
    text: str
    data: Any
    find: Callable[[Path], Marks]
    faults: tuple[ConfigError, ...] = ()

    def key(self, path: Path) -> Where:
        """Return the place of a key (of the value, in a list)."""
        return self._where(self.find(path).key, path)

    def value(self, path: Path) -> Where:
        """Return the place of a value."""
        return self._where(self.find(path).value, path)

    def parent(self, path: Path) -> Where:
        """Return the place to name when something is missing in the mapping at `path`: its key, or its list item."""
        return self._where(self.find(path).key, path)

    def line(self, path: Path) -> int:
        """Return the line of a key."""
        return self.find(path).key[0]

    def _where(self, mark: Mark, path: Path) -> Where:
        return Where(self.file, *mark, masked(render(path)))


@dataclass(frozen=True, slots=True)
class _Marked:
    """Where everything stands, noted while it was built."""

    data: Any
    root: Mark
    marks: dict[int, dict[str | int, Marks]]  # id of a container in `data` → its entries

    def __call__(self, path: Path) -> Marks:
        here, found = self.data, Marks(self.root, self.root)
        for part in path:
            entry = self.marks.get(id(here), {}).get(part) if isinstance(here, dict | list) else None
            if entry is None:
                break
            found, here = entry, here[part]
        return found


def read(content: bytes, file: str) -> Source:
    """Parse one YAML document. Raise ConfigErrors when it cannot be read at all or passes a limit."""
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 1048576:.1f} MiB"
        _refuse(
            Where(file), f"the file is too large: {size}, at most 4 MiB are read", "split it or drop what is unused"
        )
    text = _decode(content, file)
    builder = _Builder(file, text)
    try:
        data, root = builder.document()
    except ConfigErrors:
        raise
    except MarkedYAMLError as error:
        builder.refuse(_marked(error, file))
    except ReaderError as error:
        builder.refuse(_unreadable(error, file, text))
    except (YAMLError, ValueError, OverflowError):
        # ruamel has no exception of its own for some hopeless escapes and directives
        builder.refuse(ConfigError(Where(file, *builder.last), "not valid YAML near here", "check quotes and escapes"))
    return Source(file, text, data, _Marked(data, root, builder.marks), tuple(builder.faults))


class Piece(NamedTuple):
    """One event of a text, for who edits it: what begins there (or ends, for `end`), and the characters it takes.

    `value` is a scalar's value, the name of an alias, or "{" and "[" for a collection written on one line.
    """

    kind: Literal["scalar", "alias", "mapping", "sequence", "end"]
    begin: int
    end: int
    column: int
    value: str = ""
    quote: str = ""  # of a scalar: its quotation mark, or | and > for a block


def pieces(text: str) -> Iterator[Piece]:
    """Yield the nodes of a readable text in order; a collection's entries stand between it and its `end`."""
    for event in YAML(typ="safe", pure=True).parse(text):
        begin, end, column = event.start_mark.index, event.end_mark.index, event.start_mark.column
        match event:
            case ScalarEvent():
                yield Piece("scalar", begin, end, column, event.value, event.style or "")
            case AliasEvent():
                yield Piece("alias", begin, end, column, event.anchor)
            case MappingStartEvent():
                yield Piece("mapping", begin, end, column, "{" if event.flow_style else "")
            case SequenceStartEvent():
                yield Piece("sequence", begin, end, column, "[" if event.flow_style else "")
            case MappingEndEvent() | SequenceEndEvent():
                yield Piece("end", begin, end, column)


def _refuse(where: Where, message: str, hint: str = "") -> NoReturn:
    raise ConfigErrors((ConfigError(where, message, hint),))


def _decode(content: bytes, file: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse(Where(file), "the file is UTF-16", "save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the byte-order mark that "utf-8-sig" drops shifts the reported offset
        before = error.object[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        _refuse(Where(file, line, column), "not UTF-8 here", "save the file as UTF-8")


# --- what ruamel says, in our words ---------------------------------------------------------------------------------

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_HARMLESS = re.compile(r"'(.|\\.|<[a-z ]+>)'\Z")
_HINTS = (
    ("'\\t'", "indent with spaces, never with tabs"),
    ("cannot start any token", "put the value in quotes"),
    ("mapping values are not allowed", "check the indentation, and put a value that contains ': ' in quotes"),
    ("could not find expected ':'", "write key: value, and check the indentation of this line and the one above"),
    ("flow sequence", "check the brackets and the commas"),
    ("flow mapping", "check the braces and the commas"),
    ("but found", "check the indentation and the brackets"),
    ("quoted scalar", "close the quotation marks"),
    ("escape", "double the backslash, or use single quotes"),
)


def _marked(error: MarkedYAMLError, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    where = Where(file, mark.line + 1, mark.column + 1) if mark else Where(file)
    said = f"{error.context or ''}: {error.problem or ''}".strip(": ").replace("\n", " ")
    hint = next((fix for symptom, fix in _HINTS if symptom in said), "")
    # what stood in the file may be a secret: only single characters and token names are quoted back
    said = _QUOTED.sub(lambda m: m.group() if _HARMLESS.match(m.group()) else "…", said)
    begun = error.context_mark.line + 1 if error.context_mark else where.line
    since = f" (begun on line {begun})" if begun != where.line else ""
    return ConfigError(where, f"not valid YAML: {masked(said)}{since}", hint)


def _unreadable(error: ReaderError, file: str, text: str) -> ConfigError:
    before = text[: error.position]
    where = Where(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    return ConfigError(where, "a control character that YAML does not allow", "remove it")


# --- events to data -------------------------------------------------------------------------------------------------

_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
    "seq": (list,),
    "map": (dict,),
}
_MERGE = "<<"


class _Node(NamedTuple):
    """One parsed node: its value, the place where it begins, how many nodes it holds and how many levels."""

    value: Any
    mark: Mark
    size: int = 1
    height: int = 0
    plain: str | None = None  # the text of a plain scalar: `<<` merges, nothing at all was left out


@dataclass(slots=True)
class _Builder:
    """Builds data straight from the event stream, so every limit is checked before anything past it exists."""

    file: str
    text: str
    marks: dict[int, dict[str | int, Marks]] = field(default_factory=dict)
    faults: list[ConfigError] = field(default_factory=list)
    last: Mark = (1, 1)
    aliased: int = 0
    _anchors: dict[str, _Node | None] = field(default_factory=dict)
    _events: Iterator[Event] = field(default_factory=lambda: iter(()))

    def document(self) -> tuple[Any, Mark]:
        """Build the only document; an empty stream is None."""
        # pure: the C parser crashes on deep nesting. A new YAML() each time: one shared between threads mixes documents
        self._events = iter(YAML(typ="safe", pure=True).parse(self.text))
        node: _Node | None = None
        for event in self._events:
            if isinstance(event, StreamEndEvent):
                break
            if isinstance(event, DocumentStartEvent):
                if node is not None:
                    where = Where(self.file, *_mark(event))
                    self.refuse(ConfigError(where, "a second document begins here", 'remove the "---" line'))
                node = self._node(next(self._events), 0, ())
        return (node.value, node.mark) if node else (None, (1, 1))

    def refuse(self, error: ConfigError) -> NoReturn:
        """Give up on the file: raise what was found so far and this."""
        raise ConfigErrors((*self.faults, error))

    def _fault(self, mark: Mark, path: Path, message: str, hint: str = "") -> None:
        self.faults.append(ConfigError(Where(self.file, *mark, masked(render(path))), message, hint))

    def _node(self, event: Event, depth: int, path: Path) -> _Node:
        self.last = mark = _mark(event)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, mark, depth, path)
        assert isinstance(event, NodeEvent)
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # until it is complete, an alias to it would contain itself
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, mark, path)
        else:
            if depth == MAX_DEPTH:
                where = Where(self.file, *mark)
                self.refuse(ConfigError(where, f"nested more than {MAX_DEPTH} levels deep", "flatten it"))
            build = self._sequence if isinstance(event, SequenceStartEvent) else self._mapping
            assert isinstance(event, CollectionStartEvent)
            node = build(mark, depth + 1, path)
            self._check_tag(event.tag, node, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, mark: Mark, depth: int, path: Path) -> _Node:
        node = self._anchors.get(anchor)
        where = Where(self.file, *mark, masked(render(path)))
        if node is None:
            if anchor in self._anchors:
                self.refuse(ConfigError(where, "an alias inside its own anchor", "write the value out"))
            known = [name for name, found in self._anchors.items() if found]
            fix = did_you_mean(anchor, known, "put a value that begins with * in quotes")
            self.refuse(ConfigError(where, "an alias to an anchor that is not defined above", fix))
        self.aliased += node.size
        if self.aliased > MAX_ALIASED:
            self.refuse(ConfigError(where, f"aliases add more than {MAX_ALIASED:,} nodes", "write less with aliases"))
        if depth + node.height > MAX_DEPTH:
            self.refuse(
                ConfigError(where, f"nested more than {MAX_DEPTH} levels deep through this alias", "flatten it")
            )
        return node._replace(mark=mark, plain=None)

    def _scalar(self, event: ScalarEvent, mark: Mark, path: Path) -> _Node:
        text, tag = event.value, event.tag
        plain = event.implicit[0] and tag is None
        if plain and not text:
            mark = self._before(event)
        try:
            value = joined(text)
            if plain or (tag is not None and tag.removeprefix(_CORE) in ("int", "float", "bool", "null")):
                value = plain_value(value)
        except Unwritable as error:
            self._fault(mark, path, f"{error} cannot be held", "write it in quotes, or shorter")
            return _Node("", mark)
        node = _Node(value, mark, plain=text if plain else None)
        self._check_tag(tag, node, path)
        return node

    def _before(self, event: ScalarEvent) -> Mark:
        """Place a value that was left out: at the character it should follow (ruamel places it at the next token)."""
        end = event.start_mark.index
        line = event.start_mark.line + 1
        while end and self.text[end - 1].isspace():
            end -= 1
            line -= self.text[end] == "\n"
        return line, max(1, end - (self.text.rfind("\n", 0, end) + 1))

    def _check_tag(self, tag: str | None, node: _Node, path: Path) -> None:
        if tag is None or tag == "!" or tag == f"{_CORE}str":
            return
        name = tag.removeprefix(_CORE)
        if not tag.startswith(_CORE) or name not in _TYPES:
            self._fault(node.mark, path, "a tag that means nothing here", "remove it, or put the value in quotes")
        elif type(node.value) not in _TYPES[name]:
            self._fault(node.mark, path, f"tagged !!{name}, but it is {kind(node.value)}", "remove the tag")

    def _sequence(self, mark: Mark, depth: int, path: Path) -> _Node:
        data: list[Any] = []
        marks: dict[str | int, Marks] = {}
        size, height = 1, 0
        self.marks[id(data)] = marks
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            node = self._node(event, depth, (*path, len(data)))
            marks[len(data)] = Marks(node.mark, node.mark)
            data.append(node.value)
            size, height = size + node.size, max(height, node.height)
        return _Node(data, mark, size, height + 1)

    def _mapping(self, mark: Mark, depth: int, path: Path) -> _Node:
        data: dict[str, Any] = {}
        marks: dict[str | int, Marks] = {}
        merged: list[_Node] = []
        size, height = 1, 0
        self.marks[id(data)] = marks
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._node(event, depth, path)
            name = self._key(key, path)
            value = self._node(next(self._events), depth, (*path, name))
            size, height = size + key.size + value.size, max(height, value.height)
            if key.plain == _MERGE:
                if merged:
                    self._fault(key.mark, path, 'duplicate key "<<"', "merge several with <<: [*a, *b]")
                merged = self._sources(value, path)
            elif name in data:
                line = marks[name].key[0]
                self._fault(key.mark, path, f"duplicate key {shown(name)}", f"the first one is on line {line}")
            else:
                data[name], marks[name] = value.value, Marks(key.mark, value.mark if value.plain != "" else key.mark)
        self._merge(data, marks, merged)
        return _Node(data, mark, size, height + 1)

    def _key(self, node: _Node, path: Path) -> str:
        """Return a key as text: an integer becomes its decimal string, as ids do."""
        match node.value:
            case str(text):
                return text
            case int(number) if not isinstance(number, bool):
                return str(number)
            case bool() | float() | None if node.plain is not None:
                return node.plain
            case _:
                self._fault(node.mark, path, f"{kind(node.value)} cannot be a key", "write a name before the colon")
                return ""

    def _sources(self, node: _Node, path: Path) -> list[_Node]:
        """List the mappings that a merge key names, the strongest first."""
        values = node.value if isinstance(node.value, list) else [node.value]
        if not all(isinstance(value, dict) for value in values):
            self._fault(node.mark, path, '"<<" merges mappings only', "name an anchor that stands before a mapping")
            return []
        return [_Node(value, node.mark) for value in values]

    def _merge(self, data: dict[str, Any], marks: dict[str | int, Marks], sources: list[_Node]) -> None:
        """Add what is not written here; a merged key stands where it was written."""
        for source in sources:
            theirs = self.marks[id(source.value)]
            for name, value in source.value.items():
                if name not in data:
                    data[name], marks[name] = value, theirs[name]


def _mark(event: Event) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1
