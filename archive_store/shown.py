"""Texts out of a run, as they may be shown: whoever made it can have written anything."""

LONGEST = 200  # characters


def shown(text: object, most: int = LONGEST) -> str:
    """Return a text in one line, of at most so many characters, without any that cannot be seen.

    Those are written as escapes: what a terminal obeys, what turns the direction of writing, halves of characters.
    """
    given = str(text)
    plain = "".join(each if each.isprintable() else _escaped(each) for each in given[: most + 1])
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _escaped(character: str) -> str:
    return " " if character in "\n\t" else character.encode("unicode_escape").decode("ascii")
