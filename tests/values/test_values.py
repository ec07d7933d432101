"""Every value has one definition: what an annotation says is what is checked, said in an error and told on the page."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from kadapter import values
from kadapter.errors import KAdapterError
from kadapter.values import Like, Name, OneOf, Seed, Values, Words, check, check_value, expected, value

COLOURS = ["red", "blue"]


@values.told
@dataclass
class Box:
    """A box."""

    width: Annotated[int, value("in metres", 1, 9)]
    colour: Annotated[str, OneOf("colour", COLOURS), value("of its lid")] = "red"
    weight: Annotated[float, value("in kilograms", above=0)] = 1.0


class Shelf(Values):
    boxes: Annotated[dict[str, Annotated[dict[str, Any], Like(Box)]], value("name: box", least=1)]
    price: Annotated[float | None, value("in euros", 0, below=100)] = None
    mode: Annotated[bool | Literal["auto"], value("how")] = "auto"
    rows: Annotated[list[Annotated[int, Field(ge=0)]], value("of it")] = Field(default=[1], alias="from")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": {}}, "boxes: found {}; expected a mapping of at least 1"),
        ({"boxes": 3}, "boxes: found 3; expected a mapping of at least 1"),
        ({"boxes": {1: {"width": 3}}}, "boxes: found 1; expected text"),
        ({"boxes": {"a": {}}}, "boxes.a: the key 'width' is missing"),
        ({"boxes": {"a": {"width": 10}}}, "boxes.a.width: found 10; expected a whole number from 1 to 9"),
        ({"boxes": {"a": {"width": 1.0}}}, "boxes.a.width: found 1.0; expected a whole number from 1 to 9"),
        ({"boxes": {"a": {"width": True}}}, "boxes.a.width: found True; expected a whole number from 1 to 9"),
        ({"boxes": {"a": {"widht": 1}}}, "unknown boxes.a key 'widht': did you mean 'width' or 'w"),
        ({"boxes": {"a": {"width": 1, "colour": "blu"}}}, "boxes.a.colour: unknown colour 'blu': did you mean 'blue'?"),
        ({"boxes": {"a": {"width": 1, "colour": 3}}}, "boxes.a.colour: found 3; expected one of blue, red"),
        ({"boxes": {"a": {"width": 1, "weight": 0}}}, "boxes.a.weight: found 0; expected a number above 0"),
        ({"price": float("nan")}, "price: found nan; expected a number from 0 to below 100"),
        ({"price": 100}, "price: found 100; expected a number from 0 to below 100"),
        ({"mode": "yes"}, "mode: found 'yes'; expected yes or no or 'auto'"),
        ({"from": [0, -1]}, "from[1]: found -1; expected a whole number of at least 0"),
        ({"from": "0"}, "from: found '0'; expected a list, each a whole number of at least 0"),
        ({"form": [0]}, "unknown key 'form': did you mean 'from'? known: boxes, from, mode, price"),
        ({"price": "x" * 1000}, "price: found 'xxxxxxxxxxxx"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_the_words_of_the_definition(change, message):
    good = {"boxes": {"a": {"width": 3}}}
    assert check(Shelf, good).keys() == {"boxes"}
    with pytest.raises(KAdapterError) as error:
        check(Shelf, good | change, where="FILE: ")
    assert str(error.value).startswith(f"FILE: {message}") and len(str(error.value)) < 200


def test_a_whole_number_is_a_number_and_nothing_else_is_bent():
    assert check(Box, {"width": 2, "weight": 3}) == {"width": 2, "weight": 3.0}
    assert check(Box, {"width": 2}, at="there") == {"width": 2}
    with pytest.raises(KAdapterError, match="^there.width: found '2'; expected"):
        check(Box, {"width": "2"}, at="there")
    with pytest.raises(KAdapterError, match="^unknown size 'depth'"):
        check(Box, {"width": 2, "depth": 3}, noun="size")
    with pytest.raises(KAdapterError, match="^size width: found 0"):
        check(Box, {"width": 0}, noun="size")
    assert check(Box, {"colour": "blue"}, leave_out=("width",)) == {"colour": "blue"}


def test_names_may_be_added_while_the_program_runs():
    with pytest.raises(KAdapterError, match="unknown colour 'green'"):
        check(Box, {"width": 1, "colour": "green"})
    COLOURS.append("green")
    try:
        assert check(Box, {"width": 1, "colour": "green"})["colour"] == "green"
    finally:
        COLOURS.remove("green")


def test_a_function_checks_what_it_is_given():
    @values.checked("knob", leave_out=("anything",))
    def turn(anything, by: Annotated[int, value("degrees", 0, 360)] = 0):
        return by

    assert turn(None, 3) == turn(None, by=3) == 3 and turn(object()) == 0
    with pytest.raises(KAdapterError, match="^knob by: found 361; expected a whole number from 0 to 360$"):
        turn(None, 361)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Field(ge=1)], "a whole number of at least 1"),
        (Annotated[int, Field(le=1000)], "a whole number of at most 1,000"),
        (Annotated[float, Field(gt=0, le=2.5)], "a number above 0 and up to 2.5"),
        (Annotated[float, Field(gt=0, lt=1)], "a number between 0 and 1"),
        (Annotated[float, Field(lt=1)], "a number below 1"),
        (list[Any], "a list"),
        (tuple[str, ...], "a list, each text"),
        (Annotated[str, OneOf("x", ("only",))], "'only'"),
        (Annotated[str, Words("a thing")], "a thing"),
        (Box, "anything"),
        (Shelf, "a mapping"),
    ],
)
def test_expectations_in_words(annotation, words):
    assert expected(annotation) == words


def test_a_docstring_tells_the_fields():
    assert "width (a whole number from 1 to 9; required): in metres." in Box.__doc__
    assert "colour (one of blue, red; 'red'): of its lid." in Box.__doc__
    assert Box.__doc__.startswith("A box.") and len(fields(Box)) == 3
    assert values.defaults(Box) == {"colour": "red", "weight": 1.0}


@given(st.text(max_size=120))
def test_a_name_stays_in_its_folder(name):
    try:
        check_value(Name, name, "name")
    except KAdapterError as error:
        assert str(error).startswith("name: found ")
    else:
        assert name not in (".", "..") and not set(name) & set('/\\\0\n:*?"<>|') and 0 < len(name) <= 100


@pytest.mark.parametrize("name", ["F", "none", "wang2021_kadapter", "a b", "Größe", "v1.2", "F+L", "_x", "1"])
def test_usual_names_are_names(name):
    assert check_value(Name, name, "name") == name


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63, 1.0, True, None, "0"])
def test_what_is_no_seed(seed):
    with pytest.raises(KAdapterError, match="^seed: found .*; expected a whole number from 0 to 4,294,967,295$"):
        check_value(Seed, seed, "seed")
