"""What a page consists of."""

from collections import Counter
from html.parser import HTMLParser


class Anatomy(HTMLParser):
    """Ids, links and elements of a page, as a browser's parser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: Counter[str] = Counter()
        self.sections: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.elements[tag] += 1
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag == "section":
            self.sections.append(str(named["id"]))
        if tag == "a":
            self.links.append(str(named.get("href")))
