"""Measurements of a page's accessibility: contrast, controls, width, and the order of the Tab key."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

MIN_CONTRAST = 4.5  # of text and its background, as WCAG 2.2 (1.4.3) asks for normal text
MAX_CONTROLS = 60


def faults(page: "Page", width: int) -> list[str]:
    """Return the elements that are too wide or cut off, texts of low contrast, and small or nameless controls."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    found = [] if wide <= width else [f"{wide} pixels wide"]
    for measure in (CUT_OFF, LOW_CONTRAST, BAD_CONTROLS):
        found += page.evaluate(measure, MIN_CONTRAST)
    return found


def tab_through(page: "Page") -> list[str]:
    """Press Tab once around the page, and return the controls that showed the focus, from the page's beginning."""
    found: list[str] = []
    for _ in range(MAX_CONTROLS):
        page.keyboard.press("Tab")
        name = page.evaluate(FOCUSED)
        if name and name == (found and found[0]):
            break
        found += [name] if name else []
    first = found.index(controls(page)[0])
    return found[first:] + found[:first]


def controls(page: "Page") -> list[str]:
    """Return the controls that the Tab key must reach, in the order of the page."""
    names: list[str] = page.evaluate(CONTROLS)
    return names


CUT_OFF = """() => [...document.querySelectorAll('button, .tag, select')]
  .filter((element) => element.checkVisibility() && element.scrollWidth > element.clientWidth + 1)
  .map((element) => element.outerHTML)"""

# Texts, also those of fields and their placeholders, against all backgrounds that show through below them.
LOW_CONTRAST = """(least) => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const over = ([r, g, b, alpha = 1], below) => [r, g, b].map((v, i) => v * alpha + below[i] * (1 - alpha));
  const ground = (element) => element === null ? [255, 255, 255]
    : over(parse(getComputedStyle(element).backgroundColor), ground(element.parentElement));
  const bad = [];
  const check = (element, color, text) => {
    const below = ground(element);
    const [one, other] = [light(over(parse(color), below)), light(below)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < least) bad.push(`${text.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.disabled) continue;
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
    const field = element.matches("input, select, textarea");
    if (own || field) check(element, getComputedStyle(element).color, element.value || element.textContent);
    if (element.placeholder) check(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
  }
  return bad;
}"""

BAD_CONTROLS = """() => [...document.querySelectorAll("main button, main input, main select, main textarea")]
  .filter((element) => element.checkVisibility())
  .filter((element) => (element.closest("label") ?? element).getBoundingClientRect().height < 24
    || !(element.ariaLabel || element.labels?.length || element.textContent.trim()))
  .map((element) => element.outerHTML)"""

_NAMES = """
  const name = (element) => [
    element.closest("section, form")?.getAttribute("aria-label"),
    element.ariaLabel || element.name || element.textContent.trim(),
  ].filter(Boolean).join(": ");
"""

FOCUSED = (
    "() => {"
    + _NAMES
    + """
  const element = document.activeElement;
  if (element === document.body) return "";
  const style = getComputedStyle(element);
  const shows = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return shows ? name(element) : `no sign of the focus: ${name(element)}`;
}"""
)

CONTROLS = (
    "() => {"
    + _NAMES
    + """
  return [...document.querySelectorAll("a[href], button, input, select, textarea, [tabindex='0']")]
    .filter((element) => element.checkVisibility() && !element.disabled).map(name);
}"""
)
