"""Collections of names and values as HTTP has them."""


class MultiDict(dict):
    """A dict whose [] and get() give the first value of a name, and getlist() all of them."""

    def __init__(self, pairs=()):
        super().__init__()
        for name, value in pairs:
            super().setdefault(name, []).append(value)

    def __getitem__(self, name):
        return super().__getitem__(name)[0]

    def __setitem__(self, name, value):
        super().__setitem__(name, [value])

    def get(self, name, default=None, type=None):
        """The first value, given to type when there is one; default when there is none or type refuses it."""
        if name not in self:
            return default
        value = self[name]
        if type is None:
            return value
        try:
            return type(value)
        except (ValueError, TypeError):
            return default

    def getlist(self, name):
        return list(super().get(name, ()))

    def items(self, multi=False):
        for name, values in super().items():
            for value in values if multi else values[:1]:
                yield name, value

    def values(self):
        return (values[0] for values in super().values())

    def to_dict(self, flat=True):
        return dict(self.items()) if flat else {name: list(values) for name, values in super().items()}

    def __eq__(self, other):
        return self.to_dict(False) == (other.to_dict(False) if isinstance(other, MultiDict) else other)

    __hash__ = None


class Headers:
    """Headers: names without case, several values of a name in their order."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs=()):
        if isinstance(pairs, Headers):
            pairs = pairs._pairs
        elif hasattr(pairs, "items"):
            pairs = pairs.items()
        self._pairs = []
        for name, value in pairs or ():
            for v in value if isinstance(value, (list, tuple)) else (value,):
                self._pairs.append((_text(name), _text(v)))

    def get(self, name, default=None, type=None):
        name = name.lower()
        for key, value in self._pairs:
            if key.lower() == name:
                if type is None:
                    return value
                try:
                    return type(value)
                except (ValueError, TypeError):
                    return default
        return default

    def getlist(self, name):
        name = name.lower()
        return [value for key, value in self._pairs if key.lower() == name]

    get_all = getlist

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name, value):
        self.pop(name)
        self._pairs.append((name, _text(value)))

    set = __setitem__

    def __delitem__(self, name):
        if self.pop(name) is None:
            raise KeyError(name)

    def pop(self, name, default=None):
        found = self.get(name, default)
        lower = name.lower()
        self._pairs = [pair for pair in self._pairs if pair[0].lower() != lower]
        return found

    def add(self, name, value):
        self._pairs.append((name, _text(value)))

    def setdefault(self, name, value):
        if name not in self:
            self[name] = value
        return self[name]

    def update(self, other):
        for name, value in Headers(other)._pairs:
            self[name] = value

    def extend(self, other):
        self._pairs.extend(Headers(other)._pairs)

    def items(self):
        return list(self._pairs)

    def keys(self):
        return [name for name, _ in self._pairs]

    def values(self):
        return [value for _, value in self._pairs]

    def __contains__(self, name):
        return self.get(name) is not None

    def __iter__(self):
        return iter(self._pairs)

    def __len__(self):
        return len(self._pairs)

    def __repr__(self):
        return "Headers(%r)" % (self._pairs,)


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
