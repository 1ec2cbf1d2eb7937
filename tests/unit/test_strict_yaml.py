"""YAML is read in one way only, and every fault of a file is told at once, with its place."""

from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.errors import Fault, SetupError
from fsm_trader.strict_yaml import Reader, did_you_mean, parse, read_file, scan, sorted_faults


def faults_of(text, source="f.yaml"):
    with pytest.raises(SetupError) as caught:
        parse(text, source=source)
    return [str(fault) for fault in caught.value.faults]


def only_fault(text):
    (fault,) = faults_of(text)
    return fault


def node(text):
    return parse(text, source="f.yaml")


def read(method, text, **bounds):
    """Return what a Reader's method makes of one value, and its faults in words."""
    reader = Reader()
    value = getattr(reader, method)(node(f"key: {text}").pairs[0][1], **bounds)
    return value, [str(fault) for fault in reader.faults]


# ---------------------------------------------------------------------------------------------- what YAML 1.1 would do


def test_an_unquoted_time_is_refused_with_its_place_and_what_yaml_makes_of_it():
    text = "session:\n  square_off: 15:10\n"

    assert faults_of(text, "session.yaml") == [
        (
            "session.yaml:2:15 $.session.square_off: was 15:10 without quotes, "
            'which YAML reads as the number 910; expected "15:10"'
        )
    ]


@pytest.mark.parametrize("text", ["15:20", "09:15", "1:30:00", "-1:30", "190:20:30.15", "16:99"])
def test_every_unquoted_time_is_refused_whether_or_not_yaml_would_take_it_for_a_number(text):
    assert f'expected "{text}"' in only_fault(f"at: {text}")


@pytest.mark.parametrize("text", ["yes", "No", "NO", "on", "OFF", "True", "FALSE"])
def test_words_that_yaml_takes_for_booleans_are_refused_as_values_and_as_keys(text):
    assert f"$.flag: was {text} without quotes, which YAML reads as " in only_fault(f"flag: {text}")
    assert f"key {text} without quotes, which YAML reads as " in only_fault(f"{text}: 1")


@pytest.mark.parametrize(
    "text",
    [
        "010",
        "-007",
        "08",
        "1_000",
        "0x1F",
        "0b11",
        "0o17",
        "1e5",
        "1.0e+5",
        ".5",
        "5.",
        ".inf",
        "-.INF",
        ".nan",
        "0x_",
        "1_0.5",
    ],
)
def test_numbers_that_readers_disagree_on_are_refused(text):
    assert f"$.n: was {text} without quotes" in only_fault(f"n: {text}")


def test_a_number_of_absurd_length_is_refused_and_not_computed():
    assert "expected plain decimal digits" in only_fault("n: " + "9" * 5000)


@pytest.mark.parametrize("text", ["'15:20'", '"NO"', '"010"', "'on'", '"null"'])
def test_quotes_make_text_of_all_of_these(text):
    assert node(f"a: {text}").pairs[0][1].value == text[1:-1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20%", "20%"), ("5s", "5s"), ("SL-M", "SL-M"), ("2026-06-17", "2026-06-17"), ("y", "y"), ("nan", "nan"),
        ("a:b", "a:b"), ("10.0.0.1", "10.0.0.1"), ("7", 7), ("-7", -7), ("0", 0), ("1.50", Decimal("1.50")),
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
    ],
)  # fmt: skip
def test_plain_values_mean_what_they_look_like(text, value):
    seen = node(f"a: {text}").pairs[0][1].value

    assert seen == value
    assert type(seen) is type(value)


@given(st.from_regex(r"[-+0-9a-fxob_.:eE~%yYnNoOtTrRuUsSlLfFIA]{1,10}", fullmatch=True))
def test_an_accepted_scalar_is_what_yaml_says_it_is(text):
    try:
        plain = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError):
        return
    if isinstance(plain, dict | list | date):  # "a:" is a mapping and "-" a list; a date stays text here
        return

    tree, faults, _ = scan(text, source="f")

    if tree is not None and not faults:
        assert isinstance(tree.value, bool) == isinstance(plain, bool)
        assert float(tree.value) == plain if isinstance(plain, float) else tree.value == plain


# ------------------------------------------------------------------------------------------------- what is never taken


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1", "an anchor (&)"),
        ("a: {b: *x}", "an alias (*)"),
        ("a: !!python/object/apply:os.system [ls]", "a tag ("),
        ("a: !!str 5", "a tag ("),
        ("a: ! 5", "a tag ('!')"),
        ("<<: {a: 1}", "a merge key (<<)"),
        ("1: x", "key 1 without quotes, which YAML reads as the number 1"),
        ("15:20: x", "key 15:20 without quotes, which YAML reads as the number 920"),
        ("?\n: x", "an empty key"),
        ("null: x", "an empty key"),
        ("? [a]\n: x", "a key that is not text"),
        ("a: 1\n---\nb: 2", "a second document starts here"),
        ("%YAML 1.1\n---\na: 1", "a % directive"),
        ("a:\n\t- b", "not a tab"),
        ("a: [1,", "not readable as YAML"),
        ("a: 'x", "not readable as YAML"),
        ("a: b: c", "not readable as YAML"),
        ("a: " + "[" * 1000, "nested deeper than 30 levels"),
        ("a: \x00", "the character U+0000"),
        (b"a: \xff", "the byte 0xff; expected UTF-8"),
        ("a: \ue001", "a private-use character"),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("---\n", "is empty"),
        ("null", "is empty"),
        ("a: " + "x" * 1_000_000, "is larger than 1 MB"),
    ],
)
def test_what_is_not_strict_yaml_is_refused(text, message):
    assert message in only_fault(text)


def test_a_billion_laughs_are_refused_without_being_laughed():
    laughs = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )

    assert len(faults_of(laughs)) == 9 + 16


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\n  b: 2", "f.yaml:2:4"),
        (b"a: 1\nb: \xff", "f.yaml:2:4"),
        ("a: 1\r\nb: \x07", "f.yaml:2:4"),
        (b"\xef\xbb\xbfa: 15:20", "f.yaml:1:4"),
    ],
)
def test_faults_of_the_text_itself_carry_line_and_column(text, place):
    assert only_fault(text).startswith(f"{place}")


def test_a_key_given_twice_is_refused_where_it_stands_again():
    assert only_fault("s:\n  a: 1\n  a: 2") == (
        "f.yaml:3:3 $.s.a: key 'a' stands here again; expected it once, as at f.yaml:2:3"
    )


def test_all_faults_of_a_file_are_told_at_once_in_the_order_of_the_file():
    text = "a: 15:20\nb: {on: 1, c: NO}\nd: [010, &x 5]\na: 1\ne: [1"

    assert [fault.split(":")[1:3] for fault in (one.split(" ")[0] for one in faults_of(text))] == [
        ["1", "4"], ["2", "5"], ["2", "15"], ["3", "5"], ["3", "10"], ["4", "1"], ["5", "6"],
    ]  # fmt: skip


def test_a_flood_of_faults_is_cut_and_the_rest_counted():
    faults = faults_of("a:\n" + "- 010\n" * 500)

    assert len(faults) == 201
    assert "300 more faults" in faults[-1]


def test_a_key_that_cannot_be_a_name_is_quoted_in_the_path_and_cannot_colour_a_terminal():
    fault = only_fault('"a b\\e[31m": 010')

    assert '$["a b\\u001b[31m"]: was 010' in fault
    assert "\x1b" not in fault


@pytest.mark.parametrize("text", ["t: ${TOKEN}", "t: '${TOKEN}'"])
def test_a_variable_may_stand_with_or_without_quotes_inside_braces_too(text):
    (pair,) = node(f"k: {{{text}, n: 010x}}").pairs[0][1].pairs[:1]

    assert pair[1].value == "${TOKEN}"
    assert node(f"{text}").pairs[0][1].text == "${TOKEN}"


def test_columns_stay_true_after_a_variable():
    assert only_fault("k: {t: ${TOKEN}, n: 010}").startswith("f.yaml:1:21 $.k.n: ")


def test_a_node_does_not_show_its_value():
    assert "hush" not in repr(node("a: hush"))


# -------------------------------------------------------------------------------------------------------------- files


def test_a_file_is_read_with_its_name_in_the_faults(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("a: 15:20\n")

    with pytest.raises(SetupError, match=r"s\.yaml:1:4 \$\.a: was 15:20"):
        read_file(path)


def test_a_missing_file_a_folder_and_what_cannot_be_a_path_are_refused_in_words(tmp_path):
    for path, message in [
        (tmp_path / "none.yaml", r"none\.yaml: not found; expected a YAML file"),
        (tmp_path, "is not a file"),
        (Path("a\0b"), "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (tmp_path / "s.yaml" / "below", "cannot be read"),
    ]:
        (tmp_path / "s.yaml").write_text("a: 1")
        with pytest.raises(SetupError, match=message):
            read_file(path)


# ----------------------------------------------------------------------------------------------------- typed reading


@pytest.mark.parametrize(
    ("method", "text", "bounds", "value"),
    [
        ("text", "abc", {}, "abc"),
        ("text", "paper", {"choices": ("paper", "kite")}, "paper"),
        ("integer", "5", {"least": 1, "most": 5}, 5),
        ("number", "1.10", {"least": Decimal(0), "most": Decimal(2)}, Decimal("1.10")),
        ("number", "-1", {"least": Decimal(-1), "most": Decimal(2)}, Decimal(-1)),
        ("flag", "false", {}, False),
        ("duration", "1h30m", {"least": timedelta(0), "most": timedelta(hours=2)}, timedelta(minutes=90)),
        ("duration", "'250ms'", {"least": timedelta(0), "most": timedelta(hours=2)}, timedelta(milliseconds=250)),
        ("time_of_day", "'09:15'", {}, time(9, 15)),
        ("time_of_day", "'09:15:30'", {}, time(9, 15, 30)),
        ("percent", "20%", {"least": Decimal(0), "most": Decimal(1)}, Decimal("0.20")),
        ("plain", "{a: [1, 1.5, x, true, null]}", {}, {"a": [1, Decimal("1.5"), "x", True, None]}),
        ("sequence", "[]", {}, []),
        ("is_null", "", {}, True),
        ("is_null", "'null'", {}, False),
    ],
)
def test_a_right_value_is_read_without_a_fault(method, text, bounds, value):
    assert read(method, text, **bounds) == (value, [])


SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("method", "text", "bounds", "message"),
    [
        ("text", "5", {}, "was 5; expected text (in quotes)"),
        ("text", "[a]", {}, "was a sequence; expected text"),
        ("text", "a b", {"pattern": "[a-z]+", "expected": "small letters"}, "was 'a b'; expected small letters"),
        ("text", "papr", {"choices": ("paper", "kite")}, "was 'papr', which is unknown. Did you mean 'paper'?"),
        ("integer", "true", {"least": 0, "most": 5}, "was true; expected a whole number from 0 to 5"),
        ("integer", "1.0", {"least": 0, "most": 5}, "was 1.0; expected a whole number"),
        ("integer", "6", {"least": 0, "most": 5}, "was 6; expected a whole number from 0 to 5"),
        ("integer", "'5'", {"least": 0, "most": 5}, "was '5'; expected a whole number"),
        ("number", "true", {"least": Decimal(0), "most": Decimal(5)}, "was true; expected a number from 0 to 5"),
        ("number", "5.01", {"least": Decimal(0), "most": Decimal(5)}, "was 5.01; expected a number from 0 to 5"),
        ("flag", "1", {}, "was 1; expected true or false"),
        ("duration", "90", {"least": SECOND, "most": HOUR}, 'was 90 (no unit); expected a duration such as "90s"'),
        ("duration", "90sec", {"least": SECOND, "most": HOUR}, "was '90sec'; expected a duration from 1s to 1h"),
        ("duration", "2h", {"least": SECOND, "most": HOUR}, "was '2h'; expected a duration from 1s to 1h"),
        ("duration", "", {"least": SECOND, "most": HOUR}, "was empty; expected a duration"),
        ("time_of_day", "'24:00'", {}, "was '24:00'; expected a time of day"),
        ("time_of_day", "'9:15'", {}, "was '9:15'; expected a time of day"),
        ("percent", "20", {"least": Decimal(0), "most": Decimal(1)}, "was 20 (no %); expected a percentage from 0%"),
        ("percent", "101%", {"least": Decimal(0), "most": Decimal(1)}, "was '101%'; expected a percentage from 0%"),
        ("percent", "-5%", {"least": Decimal(0), "most": Decimal(1)}, "was '-5%'; expected a percentage"),
        ("sequence", "a", {}, "was 'a'; expected a sequence"),
        ("open_mapping", "[a]", {}, "was a sequence; expected a mapping"),
        ("mapping", "a", {"required": ["b"]}, "was 'a'; expected a mapping with the keys b"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_fault_that_says_what_was_seen_and_expected(method, text, bounds, message):
    value, faults = read(method, text, **bounds)

    assert not value
    assert len(faults) == 1
    assert faults[0].startswith("f.yaml:1:")
    assert f"$.key: {message}" in faults[0]


def test_unknown_keys_are_named_with_the_nearest_known_one_and_missing_keys_too():
    reader = Reader()

    found = reader.mapping(node("sqare_off: 1\ntrading: 2"), required=["square_off", "name"], optional=["trading"])

    assert list(found) == ["trading"]
    assert [str(fault) for fault in reader.faults] == [
        "f.yaml:1:1 $.sqare_off: unknown key 'sqare_off'. Did you mean 'square_off'? Known: square_off, name, trading.",
        "f.yaml:1:1 $: key 'square_off' is missing; expected square_off, name",
        "f.yaml:1:1 $: key 'name' is missing; expected square_off, name",
    ]


def test_what_yaml_refused_is_not_reported_again_by_a_typed_read():
    tree, faults, _ = scan("at: 15:20\non: 1", source="f.yaml")
    reader = Reader(faults)
    assert tree is not None

    values = reader.mapping(tree, required=["at"])

    assert reader.time_of_day(values["at"]) is None
    assert not reader.is_null(values["at"])
    assert len(reader.faults) == 2


def test_finish_raises_all_faults_in_the_order_of_the_file_and_nothing_without_any():
    reader = Reader()
    reader.finish()
    tree = reader.open_mapping(node("a: x\nb: y"))
    reader.fault(tree["b"], "second")
    reader.fault(tree["a"], "first")

    with pytest.raises(SetupError) as caught:
        reader.finish()

    assert [fault.message for fault in caught.value.faults] == ["first", "second"]


def test_faults_of_several_files_stay_together_and_lines_are_sorted_as_numbers():
    places = ["a.yaml:10:1", "b.yaml:1:1", "a.yaml:9:1", "a.yaml:9:12", "a.yaml:9:2"]

    ordered = sorted_faults(Fault(place, "", "x") for place in places)

    assert [fault.where for fault in ordered] == [
        "a.yaml:9:1",
        "a.yaml:9:2",
        "a.yaml:9:12",
        "a.yaml:10:1",
        "b.yaml:1:1",
    ]


def test_did_you_mean_names_the_nearest_and_all_known():
    assert (
        did_you_mean("spred_ok", {"spread_ok", "delta_ok"}) == " Did you mean 'spread_ok'? Known: delta_ok, spread_ok."
    )
    assert did_you_mean("zzz", ["a", "b"]) == " Known: a, b."
    assert did_you_mean("zzz", []) == " Known: none."
