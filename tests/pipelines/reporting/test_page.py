"""The page in a browser: it draws, sorts, filters, and fetches nothing."""

from dataclasses import replace

import pytest
from tests.pipelines.reporting.conftest import STRANGE
from tests.pipelines.training.test_fit_persons import QUICK, persons  # noqa: F401 - a fixture

from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig


def wait_until_none(page, what):
    """Charts are drawn when the browser has laid out their place, a moment after a script."""
    page.locator(what).first.wait_for(state="detached")


@pytest.fixture
def opened(browser, written):
    """Open the report, with what the browser had to say."""
    heard = []

    def open_page(width=1400, scheme="light", **asked):
        out, _ = written(**asked)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(5000)
        page.on("console", lambda said: heard.append(said.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: heard.append(asked.url))
        page.goto(out.as_uri())
        page.locator("tbody tr").first.wait_for()
        wait_until_none(page, ".chart:not(:has(svg))")
        return page

    yield open_page
    assert [said for said in heard if not said.startswith(("file:", "data:image/jpeg"))] == []


def column(page, table, place):
    cells = f"table[aria-label='{table}'] tbody tr:not([hidden]) > :nth-child({place})"
    return [text.strip() for text in page.locator(cells).all_inner_texts()]


def test_headings_sort(opened):
    page = opened()
    page.get_by_role("button", name="instances").click()
    rising = [int(text) for text in column(page, "Classes", 2)]
    assert rising == sorted(rising), "it was by falling number of instances"
    heading = page.locator("table[aria-label='Classes'] th", has_text="instances")
    assert heading.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="instances").press("Enter")
    assert [int(text) for text in column(page, "Classes", 2)] == rising[::-1]
    name = page.locator("table[aria-label='Runs'] th button").first
    name.click()
    runs = column(page, "Runs", 1)
    name.click()
    assert column(page, "Runs", 1) == runs[::-1]


def test_a_filter_leaves_the_rows_that_have_all_words(opened):
    page = opened()
    assert len(column(page, "Classes", 1)) == 3
    box = page.get_by_label("Filter: classes")
    box.fill("BOLD é")
    assert column(page, "Classes", 1) == [STRANGE[1]]
    assert "1 of 3" in page.locator("#classes [role=status]").all_inner_texts()
    box.fill("nowhere")
    assert column(page, "Classes", 1) == []
    box.fill("")
    assert len(column(page, "Classes", 1)) == 3


def test_strange_names_are_text(opened, study):
    page = opened()
    assert set(column(page, "Classes", 1)) == set(STRANGE)
    assert "<img src=x onerror=alert(1)> lstm & 0" in " ".join(column(page, "Runs", 1))
    assert page.locator("img:not([src^='data:'])").count() == 0
    assert page.locator("script").count() == 2


def test_another_head_and_target_are_shown(opened):
    page = opened()
    assert "corrected by Holm" not in page.locator("#comparison").inner_text(), "of a single test"
    page.get_by_label("Head", exact=True).select_option(label="lstm")
    page.get_by_label("Target", exact=True).select_option("noun")
    assert page.locator("#classes h3").first.inner_text().startswith("lstm: noun, on average over")
    assert set(column(page, "Classes", 1)) == {"cup", "knife", "pan"}


def test_the_confusion_matrix_is_told_by_keys_and_pointer(opened):
    page = opened()
    page.get_by_label("Target", exact=True).select_option("noun")
    matrix, told = page.locator(".matrix svg"), page.locator(".matrix .readout")
    matrix.focus()
    assert told.inner_text().startswith("cup taken for cup: ")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert told.inner_text().startswith("knife taken for knife: ")
    assert told.inner_text().endswith(" %")
    box = matrix.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 10, box["y"] + box["height"] - 10)
    assert told.inner_text().startswith("pan taken for pan: ")


def test_curves_of_chosen_classes(opened):
    page = opened()
    lines = page.locator("figure[class=chart]", has_text="Precision over recall").locator("path")
    assert lines.count() == 3
    page.locator("#classes input[type=checkbox]").first.uncheck()
    wait_until_none(page, ".chart:not(:has(svg))")
    assert lines.count() == 2


def test_a_name_shows_its_lines_alone(opened):
    page = opened()
    page.locator("#curves .legend button", has_text="lstm").click()
    dimmed = page.locator("#curves g.dim")
    assert dimmed.count() == 2, "linear, in both charts"
    chart = page.locator("#curves .chart svg").first
    wide = chart.get_attribute("viewBox")
    chart.hover()
    page.mouse.move(0, 0)
    assert dimmed.count() == 2, "the pointer has been there, and gone"
    page.set_viewport_size({"width": 1000, "height": 900})
    wait_until_none(page, f"#curves svg[viewBox='{wide}']")
    assert dimmed.count() == 2, "drawn anew"
    page.locator("#curves .legend button", has_text="lstm").click()
    assert dimmed.count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_down_alone(opened, scheme):
    page = opened(width=400, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert dark == (scheme == "dark")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 720, "a sheet of A4"
    assert page.locator("input[type=search]").first.is_hidden()


def test_heads_of_persons_are_shown_by_action(opened, persons, tmp_path):  # noqa: F811
    store = persons()
    for seed, lr in ((0, 0.05), (1, 0.05), (0, 1e-4)):
        out = tmp_path / "of persons" / f"{seed} {lr}"
        trainer = replace(QUICK, seed=seed, lr=lr, epochs=2)
        fit_head(FitConfig(head="roi", store=store, out=out, trainer=trainer))
    page = opened(runs=(tmp_path / "of persons",))
    names = column(page, "Actions", 1)
    assert set(names) == {"stand", "sit", "talk to"}
    first = column(page, "Actions", 3)
    page.get_by_label("Head of persons").select_option(index=1)
    assert page.locator("table[aria-label=Actions] th", has_text="differs").count() == 1
    assert column(page, "Actions", 3) != first
    assert "bootstrap" not in page.locator("#comparison").inner_text()


def test_one_run_alone_is_a_page(opened, study):
    page = opened(runs=(study / "<img src=x onerror=alert(1)> lstm & 0",))
    assert len(column(page, "Configurations", 1)) == 1
    assert page.locator("#cost").count() == 0
