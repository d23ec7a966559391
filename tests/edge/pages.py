"""Reading pages with forms as a person would, by their elements; each is inspected on the way."""

from xml.etree.ElementTree import Element

from werkzeug.test import TestResponse

from tests.browser import HTML, Page, inspect


class FormPage(Page):
    """An answer's page or fragment, inspected."""

    def __init__(self, answer: TestResponse) -> None:
        super().__init__(answer)
        inspect(self)

    @property
    def heading(self) -> str:
        """The text of the one `h1`."""
        (heading,) = self.all("h1")
        return text_of(heading)

    def fields(self, **attributes: str) -> list[Element]:
        """Every input with these attributes."""
        wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
        found = self.root.iter(f"{HTML}input")
        return [field for field in found if wanted.items() <= dict(field.items()).items()]

    def value(self, name: str) -> str | None:
        """What the field of this name holds."""
        (field,) = self.fields(name=name)
        return field.get("value")

    def alerts(self) -> list[str]:
        """What is said to be wrong, with the form or with a field."""
        said = [e for e in self.root.iter() if e.get("role") == "alert"]
        said += [e for e in self.all("p") if e.get("class") == "field-error"]
        return [text_of(element) for element in said]


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())
