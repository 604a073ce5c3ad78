"""Check the built site: links, anchors and pictures; in Chromium, where it is installed, every page as read.

`python -m docs.check build/site`. Chromium opens each page on a phone and on a wide screen, in the light and
the dark theme: nothing is wider than the page, no word breaks, every picture loads, and text differs enough
from what is behind it. It also types what readers search for.
"""

from __future__ import annotations

import contextlib
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (360, 1280)
THEMES = ("light", "dark")
SEARCHES = {
    "insufficient credits": "errors",
    "stream to browser fastapi": "cookbook/fastapi",
    "share rate limit": "scale",
    "structured output none": "cookbook/structured-output",
    "budgets": "usage",
    "cursor": "tools",
    "retry timeout charged twice": "errors",
    "rag embeddings": "rag",
    "het so du": "vi/errors",
    "dem token": "vi/usage",
    "key sai": "vi/quickstart",
    "cai dat windows": "vi/quickstart",
    "gioi han toc do": "vi/scale",
    "chuyen tu ChatOpenAI": "vi/migration",
    "ngan sach theo thang": "vi/spend-control",
    "ngân sách": "vi/usage",
    "loi": "vi/errors",
    "how do I limit spending per user": "spend-control",
    "request timed out": "errors",
    "does it work on windows": "quickstart",
    "why is my key rejected": "errors",
    "resume a batch after crash": "scale",
    "429": "errors",
    "goi nhieu lan cung luc bi 429": "vi/scale",
    "stream bi dut giua chung": "vi/errors",
    "khong co key chay thu": "vi/quickstart",
    "dung voi cursor": "vi/tools",
    "tra loi bi cat": "vi/quickstart",
    "tinh tien theo khach hang": "vi/cookbook/index",
    "doi key khong bi loi": "vi/cookbook/index",
    "docker compose api key": "cookbook/docker",
    "gioi han so lan goi": "vi/scale",
}
"""What a reader types, and a page that must be among the first results."""
FIRST = 5

_HARNESS = Path(__file__).with_name("check.html")


class _Page(HTMLParser):
    """What a page refers to, and the places in it that can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if known.get("id"):
            self.places.add(str(known["id"]))
        address = known.get("href") if tag in ("a", "link") else known.get("src")
        if address:
            self.links.append(address)


def dead_links(site: Path) -> list[str]:
    """The links, anchors and pictures of all pages that lead nowhere inside the site."""
    pages = {file: _Page(file.read_text("utf-8")) for file in site.rglob("*.html")}
    dead = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.exists():
                dead.append(f"{file.relative_to(site)}: no file {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                dead.append(f"{file.relative_to(site)}: no place {link}")
    return dead


def outside_links(site: Path) -> list[str]:
    """The addresses of other sites, for a reader with a network."""
    found = {link for file in site.rglob("*.html") for link in _Page(file.read_text("utf-8")).links}
    return sorted(link for link in found if link.startswith("http"))


def seen_in_a_browser(site: Path, browser: str) -> list[str]:
    """What a reader would see wrong on any page."""
    special = ("genindex.html", "py-modindex.html", "search.html")
    pages = [str(file.relative_to(site)) for file in sorted(site.rglob("*.html")) if file.name not in special]
    parameters = [pages, WIDTHS, THEMES, list(SEARCHES.items()), FIRST]
    harness = site / "_check.html"
    text = _HARNESS.read_text("utf-8").replace("PARAMETERS", json.dumps(parameters))
    harness.write_text(text, "utf-8")
    handler = functools.partial(_Quiet, directory=str(site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory() as home,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"),
            *("--window-size=1400,1000", "--virtual-time-budget=3000000", "--timeout=900000"),
            *("--dump-dom", f"http://127.0.0.1:{server.server_port}/_check.html"),
        ]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        server.shutdown()
    harness.unlink()
    noted = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    if noted is None or not noted[1]:
        return ["the browser did not end"]
    found: list[str] = json.loads(html.unescape(noted[1]))
    return found


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, source: Any, outputfile: Any) -> None:
        with contextlib.suppress(ConnectionError):  # a page that the browser has left
            super().copyfile(source, outputfile)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Print what is wrong, and end with 1 if anything is."""
    site = Path(sys.argv[1]).resolve()
    wrong = dead_links(site)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("Pages are not looked at in a browser: install Chromium (apt-get install chromium).")
    else:
        wrong += seen_in_a_browser(site, browser)
    print("\n".join(wrong) or "Every link, anchor, picture and search leads somewhere.")
    print(f"{len(outside_links(site))} links to other sites are listed in {site / 'outside-links.txt'}.")
    (site / "outside-links.txt").write_text("\n".join(outside_links(site)) + "\n", "utf-8")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
